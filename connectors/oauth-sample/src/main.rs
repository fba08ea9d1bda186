//! The program that connectord starts.

use connector_oauth_sample::OAuthSample;

fn main() -> std::process::ExitCode {
    superfasttt_connector::serve(OAuthSample::new())
}
