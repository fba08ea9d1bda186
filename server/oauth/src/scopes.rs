//! Which scopes are asked for, and which of them were not granted.

use crate::declaration::Declaration;

impl Declaration {
    /// The scopes to ask for: those of the connector, those of the capabilities that are wanted, and `more` (those of
    /// actions), each once, in this order.
    pub fn scopes_for(&self, capabilities: &[&str], more: &[String]) -> Vec<String> {
        let of_capabilities =
            capabilities.iter().filter_map(|name| self.capability_scopes.get(*name)).flatten();
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.scopes.iter().chain(of_capabilities).chain(more) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    /// Those of the scopes asked for that `granted` does not hold. Optional ones are never missing.
    pub fn missing_scopes(&self, asked: &[String], granted: &[String]) -> Vec<String> {
        let has = |scope: &String| granted.iter().any(|granted| granted.eq_ignore_ascii_case(scope));
        let satisfied = |scope: &String| {
            has(scope)
                || self.unlisted_scopes.contains(scope)
                || self.optional_scopes.contains(scope)
                || self.scope_aliases.get(scope).is_some_and(|aliases| aliases.iter().any(has))
        };
        let further = self.further_scopes.values().flatten();
        asked.iter().chain(further).filter(|scope| !satisfied(scope)).cloned().collect()
    }
}

/// The scopes in a provider's text: whatever separator was used to ask, replies use spaces or commas.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|scope| !scope.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(text: &str) -> Declaration {
        serde_json::from_str(text).unwrap()
    }

    fn list(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scopes_of_wanted_capabilities_are_added_once() {
        let declaration = declaration(
            r#"{"scopes": ["read"], "capability_scopes": {"execute": ["read", "write"], "handle_event": ["hook"]}}"#,
        );
        assert_eq!(
            declaration.scopes_for(&["execute"], &list(&["send", "write"])),
            ["read", "write", "send"]
        );
        assert_eq!(declaration.scopes_for(&[], &[]), ["read"]);
    }

    #[test]
    fn what_was_not_granted_is_named_whatever_its_order_case_or_alias() {
        let declaration = declaration(
            r#"{"optional_scopes": ["tickets"], "unlisted_scopes": ["offline_access"],
                "scope_aliases": {"email": ["https://g.example/userinfo.email"], "public_repo": ["repo"]},
                "further_scopes": {"user_scope": ["search:read"]}}"#,
        );
        let asked = list(&["Files.Read", "email", "public_repo", "offline_access", "tickets", "drive"]);
        let granted = list(&["repo", "https://g.example/userinfo.email", "files.read"]);
        assert_eq!(declaration.missing_scopes(&asked, &granted), ["drive", "search:read"]);
    }

    #[test]
    fn granted_scopes_are_split_however_they_are_joined() {
        assert_eq!(split("a,b c, d\n").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
