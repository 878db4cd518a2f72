//! Enumerations whose list of values may grow: the schema lists what this version knows, reading keeps any string.

/// Defines an enumeration of strings with an `Other` for what is not listed.
///
/// It reads and writes the given strings; its schema is `enum` of them.
///
/// ```ignore
/// purlin_crd::open_enum! {
///     /// Who ends TLS.
///     pub enum TlsMode {
///         Terminate = "Terminate",
///         Passthrough = "Passthrough",
///     }
/// }
/// ```
///
/// The crate that uses it depends on serde and schemars.
#[macro_export]
macro_rules! open_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        $vis enum $name {
            $($(#[$vmeta])* #[doc = concat!("`", $value, "`")] $variant,)+
            /// A value that is not listed.
            Other(String),
        }

        impl $name {
            /// The value as it stands in objects.
            $vis fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $value,)+
                    $name::Other(value) => value,
                }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($value => $name::$variant,)+
                    _ => $name::Other(value),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                match value {
                    $name::Other(value) => value,
                    known => known.as_str().to_owned(),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($value),+] })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    open_enum! {
        /// Colours.
        pub(super) enum Colour {
            Red = "Red",
            DarkBlue = "dark-blue",
        }
    }

    #[test]
    fn values_round_trip() {
        for (text, expected) in [
            ("dark-blue", Colour::DarkBlue),
            ("Green", Colour::Other("Green".to_owned())),
            ("", Colour::Other(String::new())),
        ] {
            let read: Colour = serde_json::from_value(text.into()).unwrap();
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_value(&read).unwrap(), text);
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(crate::schema::of::<Colour>(), json!({ "type": "string", "enum": ["Red", "dark-blue"] }));
    }
}
