//! What can be wrong with a URL template, and with the settings that fill it.

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with a scheme that is served.
    #[error("it does not begin with https:// (or http://)")]
    Scheme,
    /// A brace without its other one, or something else than a setting's name between them.
    #[error("`{{` and `}}` must enclose a setting's name of letters, digits, `_` and `-`")]
    Braces,
    /// User name, password or fragment, which have no place in such a URL.
    #[error("it must not hold `@` before the path, nor `#`")]
    Forbidden,
    /// Not a URL, whatever the settings are, or one that a browser would read in another way than it is written.
    #[error("it is not a plain URL: {0}")]
    NotAUrl(String),
}

/// Why settings do not fill a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The connection does not have this setting.
    #[error("the setting `{0}` is missing; a person has to enter it")]
    Missing(String),
    /// The value does not fit its place.
    #[error("the setting `{name}` does not fit into {place} of the provider's address: {why}")]
    Unfit {
        /// The setting.
        name: String,
        /// Where it stands.
        place: &'static str,
        /// What is allowed there.
        why: &'static str,
    },
    /// The host that the settings make is none that the connector may talk to.
    #[error(
        "the host `{0}` is none that this connector's manifest allows (`allowed_hosts`); correct the setting, or \
         have an administrator allow the host"
    )]
    Host(String),
    /// The parts fit, and their sum does not.
    #[error("the settings do not make a plain address; correct them")]
    NotAUrl,
}
