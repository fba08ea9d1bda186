//! What went wrong in a pull, for the author who sits before it: what happened, who must act, and how.

use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::{ConnectorError, reason_info};

use crate::error::who;
use crate::output::human;

/// The lines that tell an error.
pub fn explain(error: &ConnectorError) -> Vec<String> {
    let info = reason_info(error.reason);
    let code = if error.code.is_empty() { String::new() } else { format!(" ({})", error.code) };
    let message = if error.message.is_empty() { "it said nothing more" } else { &error.message };
    let mut lines = vec![
        message.to_owned(),
        format!("reason: {}{code}", info.name),
        format!("who must act: {}", who(info.actor.as_str())),
        format!("what to do: {}", what_to_do(error.reason)),
    ];
    if let Some(wait) = error.retry_after {
        lines.push(format!("try again in {}", human::duration(wait)));
    }
    lines
}

/// What the author at this command line does about it.
fn what_to_do(reason: Reason) -> &'static str {
    match reason {
        Reason::CredentialExpired | Reason::CredentialRevoked | Reason::ScopeMissing => {
            "give a credential that the source takes, with --credential-env NAME or --credential FILE"
        }
        Reason::SettingsInvalid | Reason::NotFound | Reason::AccessDenied => {
            "look at the settings, and at what this credential may see: --set, --settings, --credential-env"
        }
        Reason::RateLimited | Reason::QuotaExhausted | Reason::SourceUnavailable => {
            "wait, or go on without the source from a recording: --record FILE while it answers, --replay FILE later"
        }
        Reason::CursorInvalid => "begin anew with --reset",
        Reason::Unimplemented => {
            "name it in the manifest's `capabilities` and write it, or ask for another --mode"
        }
        _ => "mend the connector; what it wrote above says more, and --watch pulls again when you have",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_says_what_happened_who_must_act_and_how() {
        let error = ConnectorError::new(Reason::RateLimited, "too fast")
            .with_code("wiki.busy")
            .with_retry_after(Duration::from_secs(90));
        let lines = explain(&error);
        assert_eq!(
            lines[..3],
            ["too fast", "reason: RATE_LIMITED (wiki.busy)", "who must act: nobody; waiting is enough"]
        );
        assert!(lines[3].contains("--replay") && lines[4].contains("1 min 30 s"), "{lines:?}");
    }
}
