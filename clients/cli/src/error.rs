//! What can go wrong, and how it is told: what happened, who must act, and how.

use std::io::{self, Write as _};
use std::process::ExitCode;

use superfasttt_proto::error::{Actor, ERROR_DOMAIN};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::client::innermost;
use crate::output::human;
use crate::output::text::printable;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers at the server's address.
    #[error("{0}")]
    Unreachable(String),
    /// The server answered with an error, or was lost while it answered.
    #[error("{}", .0.message())]
    Rpc(Box<Status>),
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// It did not work, and everything has been said.
    #[error("failed")]
    Said,
    /// Whoever read the output has enough (`| head`).
    #[error("the reader has gone")]
    ReaderGone,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(io::Error),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Rpc(Box::new(status))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Io(error) }
    }
}

/// Says on stderr what went wrong, and gives the exit code for it.
pub fn report(error: &Error, server: &str) -> ExitCode {
    let (code, lines) = match error {
        Error::ReaderGone => return ExitCode::SUCCESS,
        Error::Said => return ExitCode::FAILURE,
        Error::Usage(message) => (ExitCode::from(2), vec![message.clone(), "see --help".to_owned()]),
        Error::Unreachable(cause) if wants_certificate(cause) => {
            (ExitCode::FAILURE, vec![refused_certificate(server, cause), SHOW_CERTIFICATE.to_owned()])
        }
        Error::Unreachable(cause) if cause.contains("certificate") => (
            ExitCode::FAILURE,
            vec![
                format!("cannot trust {server}: {cause}"),
                "name the certificate of its authority with --ca-file or CONNECTORCTL_CA_FILE".to_owned(),
            ],
        ),
        Error::Unreachable(cause) => (
            ExitCode::FAILURE,
            vec![
                format!("cannot reach {server}: {cause}"),
                "start it with `connectord`, or say where it is with --server or CONNECTORCTL_SERVER"
                    .to_owned(),
            ],
        ),
        Error::Rpc(status) => (ExitCode::FAILURE, explain(status, server)),
        Error::Failed(message) => (ExitCode::FAILURE, vec![message.clone()]),
        Error::Io(error) => (ExitCode::FAILURE, vec![error.to_string()]),
    };
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text.push_str(if number == 0 { "error: " } else { "  " });
        text.push_str(&printable(line));
        text.push('\n');
    }
    // Where stderr is gone too, nobody is left to be told.
    let _ = io::stderr().write_all(text.as_bytes());
    code
}

/// Whether the connection was lost, and not an answer given: a status that came over the wire has no source.
pub fn is_connection_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Unavailable
}

/// The lines that tell a status: first what happened, then what is known of it.
pub fn explain(status: &Status, server: &str) -> Vec<String> {
    let details = status.get_error_details();
    if let Some(lines) = explain_transport(status, server) {
        return lines;
    }
    let reason =
        details.error_info().filter(|info| info.domain == ERROR_DOMAIN).map(|info| info.reason.as_str());
    let mut lines = match (status.code(), reason) {
        (Code::Unauthenticated, None) => vec![
            format!("{server} refuses calls without the right token: {}", status.message()),
            "give the one that connectord was configured with, by CONNECTORCTL_TOKEN or --token".to_owned(),
        ],
        (Code::Unimplemented, _) if status.message().is_empty() => {
            vec![format!("the server at {server} does not do this yet; a newer one may")]
        }
        (Code::Unimplemented, _) => {
            vec![format!("the server at {server} does not do this yet: {}", status.message())]
        }
        (code, _) if status.message().is_empty() => vec![code.description().to_owned()],
        _ => vec![status.message().to_owned()],
    };
    lines.extend(explain_details(&details));
    lines
}

/// What there is to say when no answer of a connectord came.
fn explain_transport(status: &Status, server: &str) -> Option<Vec<String>> {
    let not_grpc = || {
        vec![
            format!("what answers at {server} is not connectord: it does not speak gRPC"),
            "give the control listener's address (127.0.0.1:7070 unless configured) with --server".to_owned(),
        ]
    };
    let source = std::error::Error::source(status);
    let cause = source.map(innermost);
    let message = status.message();
    // What tonic says of an HTTP answer without a gRPC status, and of bytes that are not HTTP/2.
    if message.contains("grpc-status header missing") || message.contains("invalid compression flag") {
        return Some(not_grpc());
    }
    let cause = cause?;
    if ["frame with invalid size", "unexpected frame type", "http2 error: PROTOCOL_ERROR"]
        .iter()
        .any(|sign| cause.contains(sign) || message.contains(sign))
    {
        return Some(not_grpc());
    }
    if wants_certificate(&cause) {
        return Some(vec![refused_certificate(server, &cause), SHOW_CERTIFICATE.to_owned()]);
    }
    if [&cause, message].iter().any(|told| told.contains("INADEQUATE_SECURITY")) {
        return Some(vec![format!("{server} speaks TLS: write https:// with --server")]);
    }
    if cause.contains("connection refused") {
        return Some(vec![
            format!("lost {server}: {cause}"),
            "it may have been stopped; try again".to_owned(),
        ]);
    }
    let mut lines = vec![
        format!("lost the connection to {server}: {cause}"),
        "try again; if it stays so, what listens there is not connectord".to_owned(),
    ];
    if server.starts_with("https:") {
        // Why it closed is often lost with the connection.
        lines.push(format!("or it wants a certificate of its clients: {SHOW_CERTIFICATE}"));
    }
    Some(lines)
}

const SHOW_CERTIFICATE: &str = "give one that it knows with --client-cert and --client-key";

fn refused_certificate(server: &str, cause: &str) -> String {
    format!("{server} lets in only clients with a certificate of an authority that it knows: {cause}")
}

/// Whether TLS was ended because of the certificate that was shown, or because none was: by the names that TLS gives it.
fn wants_certificate(cause: &str) -> bool {
    let alerts = ["CertificateRequired", "UnknownCA", "BadCertificate", "CertificateExpired"];
    cause.contains("received fatal alert") && alerts.iter().any(|alert| cause.contains(alert))
}

/// The `google.rpc` details, a line each.
fn explain_details(details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    for violation in details.bad_request().map(|it| it.field_violations.as_slice()).unwrap_or_default() {
        lines.push(match violation.field.as_str() {
            "" => violation.description.clone(),
            field => format!("{field}: {}", violation.description),
        });
    }
    for violation in details.precondition_failure().map(|it| it.violations.as_slice()).unwrap_or_default() {
        lines.push(format!("{}: {}", violation.subject, violation.description));
    }
    if let Some(info) = details.error_info() {
        let code = info.metadata.get("code").map(|code| format!(" ({code})")).unwrap_or_default();
        lines.push(format!("reason: {}{code}", info.reason));
        if let Some(actor) = info.metadata.get("actor") {
            lines.push(format!("who must act: {}", who(actor)));
        }
        if let Some(fix) = info.metadata.get("fix") {
            lines.push(format!("what to do: {fix}"));
        }
    }
    if let Some(wait) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("try again in {}", human::duration(wait)));
    }
    for link in details.help().map(|help| help.links.as_slice()).unwrap_or_default() {
        lines.push(format!("see {} ({})", link.url, link.description));
    }
    lines
}

/// Who an actor of the contract is, for a person.
pub fn who(actor: &str) -> &str {
    [
        (Actor::User, "the owner of the connection"),
        (Actor::Admin, "an administrator of the source or of this installation"),
        (Actor::Author, "the connector's author"),
        (Actor::Nobody, "nobody; waiting is enough"),
    ]
    .into_iter()
    .find_map(|(known, text)| (known.as_str() == actor).then_some(text))
    .unwrap_or(actor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use superfasttt_proto::connector::v1::Reason;
    use superfasttt_proto::error::ConnectorError;

    use super::*;

    #[test]
    fn every_detail_of_a_status_is_told() {
        let status = ConnectorError::new(Reason::RateLimited, "the source asked to slow down")
            .with_code("demo.too_fast")
            .with_retry_after(Duration::from_secs(90))
            .to_status();
        let lines = explain(&status, "http://s");
        assert_eq!(
            lines,
            [
                "the source asked to slow down",
                "reason: RATE_LIMITED (demo.too_fast)",
                "who must act: nobody; waiting is enough",
                "try again in 1 min 30 s",
            ]
        );
    }

    #[test]
    fn field_violations_have_a_line_each() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("connection.name", "must not be empty");
        details.add_bad_request_violation("connection.settings.root", "must be absolute");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are not valid", details);
        assert_eq!(
            explain(&status, "http://s"),
            [
                "2 fields are not valid",
                "connection.name: must not be empty",
                "connection.settings.root: must be absolute"
            ]
        );
    }

    #[test]
    fn a_refused_token_is_not_mistaken_for_a_revoked_credential() {
        let lines = explain(&Status::unauthenticated("no token"), "http://s");
        assert!(lines[1].contains("CONNECTORCTL_TOKEN"), "{lines:?}");
        let revoked = ConnectorError::new(Reason::CredentialRevoked, "the grant was withdrawn").to_status();
        let lines = explain(&revoked, "http://s");
        assert_eq!(lines[0], "the grant was withdrawn");
        assert_eq!(lines[2], "who must act: the owner of the connection");
    }
}
