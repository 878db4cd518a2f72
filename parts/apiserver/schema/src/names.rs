//! The forms of names: DNS labels and subdomains, qualified names, label values.
//!
//! Each function returns what is wrong in the words of apimachinery's validation, nothing when the name is good.
//! Hand-written matchers instead of regular expressions: these run on every write.

/// The form that the name of an object of a kind must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NameForm {
    /// RFC 1123 subdomain: the default.
    #[default]
    Subdomain,
    /// RFC 1123 label: namespaces.
    Label,
    /// RFC 1035 label, which starts with a letter: services.
    Label1035,
    /// What can stand in a path: RBAC objects (`system:node`).
    PathSegment,
}

impl NameForm {
    /// What is wrong with a name; `prefix` where it is a `generateName`, which the server completes.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        // A completed name has five more characters, so a trailing dash is fine before it is complete.
        let masked;
        let name = if prefix && name.len() > 1 && name.ends_with('-') && self != NameForm::PathSegment {
            masked = format!("{}a", &name[..name.len() - 1]);
            masked.as_str()
        } else {
            name
        };
        match self {
            NameForm::Subdomain => dns1123_subdomain(name),
            NameForm::Label => dns1123_label(name),
            NameForm::Label1035 => dns1035_label(name),
            NameForm::PathSegment => path_segment(name, prefix),
        }
    }
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn regex_words(words: &str, examples: &[&str], regex: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{words} (e.g. {}regex used for validation is '{regex}')", examples.join("or "))
}

fn lower_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|&b| inner(b) || b == b'-')
        && bytes.first().is_some_and(|&b| inner(b))
        && bytes.last().is_some_and(|&b| inner(b))
}

/// RFC 1123 label, at most 63 bytes.
pub fn dns1123_label(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 63 {
        wrong.push(too_long(63));
    }
    if !lower_label(name) {
        if name.split('.').all(lower_label) {
            wrong.push("must not contain dots".to_owned());
        } else {
            let words = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                         and must start and end with an alphanumeric character";
            wrong.push(regex_words(words, &["my-name", "123-abc"], "[a-z0-9]([-a-z0-9]*[a-z0-9])?"));
        }
    }
    wrong
}

/// RFC 1123 subdomain: labels with dots between them, at most 253 bytes.
pub fn dns1123_subdomain(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 253 {
        wrong.push(too_long(253));
    }
    if !name.split('.').all(lower_label) {
        let words = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                     and must start and end with an alphanumeric character";
        let regex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
        wrong.push(regex_words(words, &["example.com"], regex));
    }
    wrong
}

/// RFC 1035 label: as RFC 1123, but starting with a letter.
pub fn dns1035_label(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 63 {
        wrong.push(too_long(63));
    }
    if !lower_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        let words = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
                     start with an alphabetic character, and end with an alphanumeric character";
        wrong.push(regex_words(words, &["my-name", "abc-123"], "[a-z]([-a-z0-9]*[a-z0-9])?"));
    }
    wrong
}

/// A name that can be one segment of a path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

fn qualified_part(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
                         and must start and end with an alphanumeric character";
const QUALIFIED_REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// A label's or annotation's key: `name` or `prefix/name`.
pub fn qualified_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (prefix, part) = match name.split_once('/') {
        None => (None, name),
        Some((prefix, part)) if !part.contains('/') => (Some(prefix), part),
        Some(_) => {
            let words = regex_words(QUALIFIED, &["MyName", "my.name", "123-abc"], QUALIFIED_REGEX);
            let words = format!(
                "a valid label key {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            );
            return vec![words];
        }
    };
    match prefix {
        None => {}
        Some("") => wrong.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => wrong.extend(dns1123_subdomain(prefix).into_iter().map(|w| format!("prefix part {w}"))),
    }
    if part.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if part.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !qualified_part(part) {
        wrong.push(format!("name part {}", regex_words(QUALIFIED, &["MyName", "my.name", "123-abc"], QUALIFIED_REGEX)));
    }
    wrong
}

/// A label's value: empty, or up to 63 bytes of the characters of a name.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 63 {
        wrong.push(too_long(63));
    }
    if !value.is_empty() && !qualified_part(value) {
        let words =
            format!("a valid label must be an empty string or {}", QUALIFIED.replace("must consist", "consist"));
        let regex = format!("({QUALIFIED_REGEX})?");
        wrong.push(regex_words(&words, &["MyValue", "my_value", "12345"], &regex));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for name in good {
            assert_eq!(function(name), Vec::<String>::new(), "{name}");
        }
        for name in bad {
            assert!(!function(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn names_have_their_form() {
        let long = "a".repeat(64);
        check(dns1123_label, &["a", "a-1", "1a"], &["", "A", "-a", "a-", "a.b", &long, "é"]);
        check(dns1123_subdomain, &["a", "a.b-c.1", &long], &["", "A", "a..b", ".a", "a.", &"a".repeat(254)]);
        check(dns1035_label, &["a", "a-1"], &["1a", "", "a."]);
        check(
            qualified_name,
            &["a", "A.b_c-D", "x.io/a", "kubernetes.io/Name"],
            &["", "/a", "a/", "a/b/c", "X/a", "-a", &long],
        );
        check(label_value, &["", "a", "A_b.c-1"], &["-", "a/b", &long]);
    }

    #[test]
    fn words_are_those_of_kubernetes() {
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
              start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label_value("-"),
            ["a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
              start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345', regex used for \
              validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"]
        );
    }

    #[test]
    fn prefixes_may_end_with_a_dash() {
        assert!(NameForm::Subdomain.check("web-", true).is_empty());
        assert!(!NameForm::Subdomain.check("web-", false).is_empty());
        assert!(NameForm::PathSegment.check("system:node", false).is_empty());
        assert_eq!(NameForm::PathSegment.check("..", false), ["may not be '..'"]);
        assert_eq!(NameForm::PathSegment.check("a/b", false), ["may not contain '/'"]);
    }
}
