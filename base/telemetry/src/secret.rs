//! A value that logs do not show.

use std::fmt;

/// Holds a password, a token, a key. It prints as `<redacted>` and can be neither compared nor serialized by accident.
#[derive(Clone, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "printed only")]
        struct Login {
            user: &'static str,
            password: Secret<String>,
        }
        let login = Login { user: "ada", password: "hunter2".to_owned().into() };
        assert_eq!(format!("{login:?}"), r#"Login { user: "ada", password: <redacted> }"#);
        assert_eq!(login.password.expose(), "hunter2");
    }
}
