//! The language of a page: French or English, by what the browser says of its person.

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Language {
    /// For everybody whose language there is no page in.
    #[default]
    English,
    /// French.
    French,
}

impl Language {
    /// The one that an `Accept-Language` header likes best.
    pub(super) fn accepted(header: &str) -> Self {
        let mut best = (Self::default(), 0.0);
        for range in header.split(',').take(50) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let Some(language) = Self::of_tag(tag) else { continue };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            // The first of several that are liked as much.
            if let Some(weight) = weight.filter(|weight| (0.0..=1.0).contains(weight) && *weight > best.1) {
                best = (language, weight);
            }
        }
        best.0
    }

    fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "fr" => Some(Self::French),
            "en" | "*" => Some(Self::English),
            _ => None,
        }
    }

    /// As HTML names it.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_liked_best_and_written_is_taken() {
        for (header, wanted) in [
            ("", "en"),
            ("fr", "fr"),
            ("fr-CA,en;q=0.8", "fr"),
            ("FR-fr", "fr"),
            ("en-GB,en;q=0.9,fr;q=0.8", "en"),
            ("de-DE,de;q=0.9,fr;q=0.5,en;q=0.4", "fr"),
            ("de,*;q=0.5,fr;q=0.4", "en"),
            ("fr;q=0,en;q=0.1", "en"),
            ("en;q=0.3, fr;q=0.7", "fr"),
            ("fr;q=0.7, en;q=0.7", "fr"),
            ("de", "en"),
            ("fr;q=nonsense,en;q=0.1", "en"),
            ("fr;q=17", "en"),
            ("français", "en"),
            (";;;,,,q=1", "en"),
        ] {
            assert_eq!(Language::accepted(header).tag(), wanted, "{header:?}");
        }
    }
}
