//! The name of a field manager: given by the client, or made of its `User-Agent`.

/// The longest name of a manager, in bytes.
const MAX_LEN: usize = 128;

/// What is wrong with `fieldManager`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagerNameError {
    /// The name is longer than 128 bytes.
    #[error("may not be more than {MAX_LEN} bytes")]
    TooLong,
    /// The name has a character that cannot be printed.
    #[error("invalid character U+{:04X} (at position {position})", u32::from(*.character))]
    NotPrintable {
        /// The first such character.
        character: char,
        /// Its place in the name, in bytes.
        position: usize,
    },
}

/// Checks the `fieldManager` of a request; the empty name is none.
pub fn check_manager_name(name: &str) -> Result<(), ManagerNameError> {
    if name.len() > MAX_LEN {
        return Err(ManagerNameError::TooLong);
    }
    match name.char_indices().find(|&(_, c)| !is_printable(c)) {
        Some((position, character)) => Err(ManagerNameError::NotPrintable { character, position }),
        None => Ok(()),
    }
}

/// The given name, or what stands before the first `/` of the user agent, cut to what a name may be.
pub fn manager_or_user_agent(manager: &str, user_agent: &str) -> String {
    if !manager.is_empty() {
        return manager.to_owned();
    }
    let prefix = user_agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for character in prefix.chars().filter(|&c| is_printable(c)) {
        if name.len() + character.len_utf8() > MAX_LEN {
            break;
        }
        name.push(character);
    }
    name
}

/// Letters, digits, marks, symbols and the ASCII space; neither controls nor other spaces.
fn is_printable(character: char) -> bool {
    character == ' ' || !(character.is_control() || character.is_whitespace() || is_format_or_unassigned(character))
}

/// Invisible characters that could make two names look the same.
fn is_format_or_unassigned(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_user_agent() {
        let check =
            |manager: &str, agent: &str, expected: &str| assert_eq!(manager_or_user_agent(manager, agent), expected);
        check("mine", "kubectl/v1.36.3 (linux/amd64)", "mine");
        check("", "kubectl/v1.36.3 (linux/amd64)", "kubectl");
        check("", "Go-http-client", "Go-http-client");
        check("", "", "");
        check("", "a\u{7}b\u{200b}c/1", "abc");
        check("", &"é".repeat(100), &"é".repeat(64));
        check("", &format!("a{}", "é".repeat(100)), &format!("a{}", "é".repeat(63)));
    }

    #[test]
    fn checked() {
        let check = |name: &str, expected: Result<(), &str>| {
            assert_eq!(
                check_manager_name(name).map_err(|e| e.to_string()),
                expected.map_err(str::to_owned),
                "{name:?}"
            );
        };
        check("kubectl-client-side-apply", Ok(()));
        check("my manager é", Ok(()));
        check(&"a".repeat(128), Ok(()));
        check(&"a".repeat(129), Err("may not be more than 128 bytes"));
        check("a\nb", Err("invalid character U+000A (at position 1)"));
        check("a\u{a0}b", Err("invalid character U+00A0 (at position 1)"));
    }
}
