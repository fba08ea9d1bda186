use proptest::prelude::*;

use super::*;

fn rules<'a>(allowed_hosts: &'a [String]) -> UrlRules<'a> {
    UrlRules { allowed_hosts, operator_hosts: &[], allow_loopback: false }
}

fn fill(template: &str, allowed: &[&str], value: &str) -> Result<String, FillError> {
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let template: Template = template.parse().unwrap();
    template.fill(|_| Some(value.to_owned()), &rules(&allowed)).map(Into::into)
}

#[test]
fn a_setting_is_one_label_below_the_domain_that_the_template_names() {
    let template = "https://{subdomain}.service.com/oauth/token";
    assert_eq!(fill(template, &[], "Acme").unwrap(), "https://acme.service.com/oauth/token");
    for value in [
        "evil.com/",
        "evil.com#",
        "evil.com?",
        "x@evil.com",
        "evil.com:443",
        "a.b",
        ".",
        "-a",
        "a-",
        "a b",
        "a\n",
        "ünïcode",
        "%65vil",
        "a/../b",
        "evil.com\\",
        "[::1]",
        "a_b",
        "*",
    ] {
        assert!(fill(template, &[], value).is_err(), "{value:?}");
    }
    assert_eq!(fill(template, &[], ""), Err(FillError::Missing("subdomain".to_owned())));
}

#[test]
fn dots_are_allowed_where_the_manifest_allows_such_a_host() {
    let template = "https://{domain}.salesforce.com/services/oauth2/token";
    let allowed = ["login.salesforce.com", "test.salesforce.com", "*.my.salesforce.com"];
    assert!(fill(template, &allowed, "login").is_ok());
    assert!(fill(template, &allowed, "acme.my").is_ok());
    assert_eq!(
        fill(template, &allowed, "acme.lightning.force"),
        Err(FillError::Host("acme.lightning.force.salesforce.com".to_owned()))
    );
    assert!(fill(template, &allowed, "other").is_err());
}

#[test]
fn a_whole_host_needs_a_rule_and_may_have_a_port_that_the_rule_names() {
    let template = "https://{host}/login/oauth/access_token";
    assert!(fill(template, &[], "github.com").is_err(), "no rule, so no host");
    assert!(fill(template, &["github.com"], "github.com").is_ok());
    assert!(fill(template, &["github.com"], "evil.com").is_err());
    assert!(fill(template, &["git.acme.example"], "git.acme.example:22").is_err());
    assert_eq!(
        fill(template, &["git.acme.example:8443"], "git.acme.example:8443").unwrap(),
        "https://git.acme.example:8443/login/oauth/access_token"
    );
    let operator = ["git.corp.example".to_owned()];
    let by_operator = UrlRules { allowed_hosts: &[], operator_hosts: &operator, allow_loopback: false };
    let parsed: Template = template.parse().unwrap();
    assert!(parsed.fill(|_| Some("git.corp.example".to_owned()), &by_operator).is_ok());
}

#[test]
fn without_rules_a_domain_must_be_written_out() {
    for template in ["https://{x}.com/t", "https://{x}service.com/t", "https://a.{x}/t"] {
        assert!(fill(template, &[], "acme").is_err(), "{template}");
    }
}

#[test]
fn an_address_that_looks_like_a_name_is_not_taken() {
    assert!(fill("https://{host}/t", &["*.0.0.1"], "127.0.0.1").is_ok(), "the author asked for it by name");
    assert!(fill("https://{host}/t", &["0x7f.1", "2130706433"], "0x7f.1").is_err());
    assert!(fill("https://{host}/t", &["0x7f.1", "2130706433"], "2130706433").is_err());
}

#[test]
fn in_a_path_a_setting_is_one_part() {
    let template = "https://login.example.com/{tenant}/oauth2/token";
    assert_eq!(fill(template, &[], "acme.fr").unwrap(), "https://login.example.com/acme.fr/oauth2/token");
    assert_eq!(fill(template, &[], "a b%2f").unwrap(), "https://login.example.com/a%20b%252f/oauth2/token");
    for value in ["..", ".", "a/b", "a\\b", "a?b", "a#b", "a\0"] {
        assert!(fill(template, &[], value).is_err(), "{value:?}");
    }
    assert!(matches!(fill(template, &[], ".."), Err(FillError::Unfit { .. })), "and the setting is named");
    assert!(fill("https://x.example.com/{a}{a}/t", &[], ".").is_err(), "two dots by two settings");
}

#[test]
fn in_a_query_a_setting_adds_no_parameter() {
    let url = fill("https://x.example.com/t?tenant={t}&v=1", &[], "a&state=b#c").unwrap();
    assert_eq!(url, "https://x.example.com/t?tenant=a%26state%3Db%23c&v=1");
}

#[test]
fn what_is_no_template_is_refused() {
    for text in [
        "ftp://x.example.com",
        "https://",
        "https://user@x.example.com/",
        "https://x.example.com/#f",
        "https://x.example.com:port/",
        "https://x.example.com/{",
        "https://x.example.com/}",
        "https://x.example.com/{}",
        "https://x.example.com/{a b}",
        "https://x.example.com/a/../b",
        "https://x y.example.com/",
        "//x.example.com",
        "https://x.example.com\\@evil.com/",
        "https://[::1/",
        "https://EXAMPLE.com:{port}/",
    ] {
        assert!(text.parse::<Template>().is_err(), "{text}");
    }
    let text = "https://{a}.example.com:8443/x/{b}?c={d}";
    assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
    assert!("http://[::1]:8080/x".parse::<Template>().is_ok());
}

proptest! {
    /// Whatever a person enters, the URL is the template's: its domain, its path's shape, no user, no fragment.
    #[test]
    fn no_value_leaves_its_place(host in "\\PC{0,12}|[a-z./:@#?%\\\\-]{0,12}", path in "\\PC{0,12}|[a-z./:@#?%\\\\-]{0,12}") {
        let template: Template = "https://{h}.service.com/a/{p}/token?q={p}&r=1".parse().unwrap();
        let setting = |name: &str| Some(if name == "h" { host.clone() } else { path.clone() });
        if let Ok(url) = template.fill(setting, &rules(&[])) {
            let filled = url.host_str().unwrap();
            prop_assert_eq!(filled.strip_suffix(".service.com").map(|label| label.contains('.')), Some(false));
            prop_assert_eq!(url.port_or_known_default(), Some(443));
            prop_assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
            let parts: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(parts.len(), 3);
            prop_assert_eq!((parts[0], parts[2]), ("a", "token"));
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, [("q".to_owned(), path.clone()), ("r".to_owned(), "1".to_owned())]);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}|https?://[a-z{}.:/?#@\\[\\]]{0,30}") {
        if let Ok(template) = text.parse::<Template>() {
            let _ = template.fill(|_| Some("x".to_owned()), &rules(&["*.example.com".to_owned()]));
        }
    }
}
