//! What a token says: the claims of RFC 7519, RFC 8693, RFC 9068 and RFC 7800, and those of others by path.
//!
//! The types of the claims that decide are checked when they are read, so that `"exp": "never"` is a malformed token and
//! not one without an end.

use http::HeaderValue;

use super::base64::encode;
use super::json::{self, Json, JsonError, Limits, Members, member};

const LIMITS: Limits = Limits { depth: 10, values: 1024 };
/// What goes into a header of a request.
const MAX_HEADER_VALUE: usize = 8 * 1024;

/// Why claims cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// They are no JSON within the limits.
    #[error("the claims cannot be read: {0}")]
    Json(#[from] JsonError),
    /// One has another type than its definition says.
    #[error("the claim {0} has the wrong type")]
    Type(&'static str),
}

/// The claims of a token.
#[derive(Clone, PartialEq)]
pub struct Claims {
    members: Members,
    expires: Option<i64>,
    not_before: Option<i64>,
}

/// Names are told, values are not: they are about people.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.members.iter().map(|(name, _)| name)).finish()
    }
}

/// What the sender of a token has to prove to own (RFC 7800).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation<'a> {
    /// Thumbprint of a key with which the client signs each request (RFC 9449).
    pub jkt: Option<&'a str>,
    /// Hash of the client's certificate (RFC 8705).
    pub certificate: Option<&'a str>,
    /// Whether something else is to be proved.
    pub other: bool,
}

impl Claims {
    /// Reads a JSON object.
    pub fn parse(text: &[u8]) -> Result<Claims, ClaimsError> {
        let members = json::parse(text, LIMITS)?;
        let (mut expires, mut not_before) = (None, None);
        for (name, value) in &members {
            match &**name {
                // Fractions are allowed; what is rounded is rounded to the shorter life.
                "exp" => expires = Some(seconds(value, f64::floor).ok_or(ClaimsError::Type("exp"))?),
                "nbf" => not_before = Some(seconds(value, f64::ceil).ok_or(ClaimsError::Type("nbf"))?),
                "iat" => drop(seconds(value, f64::floor).ok_or(ClaimsError::Type("iat"))?),
                "iss" => drop(value.text().ok_or(ClaimsError::Type("iss"))?),
                "sub" => drop(value.text().ok_or(ClaimsError::Type("sub"))?),
                "jti" => drop(value.text().ok_or(ClaimsError::Type("jti"))?),
                "azp" => drop(value.text().ok_or(ClaimsError::Type("azp"))?),
                "client_id" => drop(value.text().ok_or(ClaimsError::Type("client_id"))?),
                "aud" if !is_text_or_texts(value) => return Err(ClaimsError::Type("aud")),
                "scope" if !is_text_or_texts(value) => return Err(ClaimsError::Type("scope")),
                "scp" if !is_text_or_texts(value) => return Err(ClaimsError::Type("scp")),
                "cnf" if !matches!(value, Json::Object(_)) => return Err(ClaimsError::Type("cnf")),
                _ => {}
            }
        }
        Ok(Claims { members, expires, not_before })
    }

    /// `iss`: who made the token.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `sub`: about whom it is.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `jti`: tells it from all others.
    pub fn id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `client_id`, or `azp` as OpenID Connect calls it: who was given the token.
    pub fn client(&self) -> Option<&str> {
        self.text("client_id").or_else(|| self.text("azp"))
    }

    /// `exp` in seconds since 1970: at this time it is over.
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// `nbf` in seconds since 1970: at this time it begins.
    pub fn not_before(&self) -> Option<i64> {
        self.not_before
    }

    /// `iat` in seconds since 1970.
    pub fn issued_at(&self) -> Option<i64> {
        seconds(member(&self.members, "iat")?, f64::floor)
    }

    /// Whether `aud` names it.
    pub fn is_for(&self, audience: &str) -> bool {
        member(&self.members, "aud").is_some_and(|aud| is_or_has(aud, audience))
    }

    /// Whether `scope` (or `scp`, as some issuers call it) has it.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|granted| granted == scope)
    }

    /// What was granted.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scope = member(&self.members, "scope").or_else(|| member(&self.members, "scp"));
        let (joined, list) = match scope {
            Some(Json::Text(text)) => (&**text, [].as_slice()),
            Some(Json::List(list)) => ("", list.as_slice()),
            _ => ("", [].as_slice()),
        };
        joined.split(' ').filter(|scope| !scope.is_empty()).chain(list.iter().filter_map(Json::text))
    }

    /// `cnf`: what the sender has to prove to own.
    pub fn confirmation(&self) -> Option<Confirmation<'_>> {
        let Some(Json::Object(members)) = member(&self.members, "cnf") else { return None };
        let text = |name: &str| member(members, name).and_then(Json::text);
        let (jkt, certificate) = (text("jkt"), text("x5t#S256"));
        let known = usize::from(jkt.is_some()) + usize::from(certificate.is_some());
        Some(Confirmation { jkt, certificate, other: members.len() != known || known == 0 })
    }

    /// The claim at the end of `path`, which leads through objects.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(member(&self.members, first.as_ref())?, |value, name| match value {
            Json::Object(members) => member(members, name.as_ref()),
            _ => None,
        })
    }

    /// Whether the claim at `path` is one of `values`, or a list that has one of them.
    pub fn matches<S: AsRef<str>>(&self, path: &[S], values: &[Box<str>]) -> bool {
        self.at(path).is_some_and(|claim| values.iter().any(|value| is_or_has(claim, value)))
    }

    /// The claim at `path` as the value of a header: scalars as they are, lists of scalars with commas, all else as JSON in
    /// base64url. None where there is no such claim, and where it cannot be told without ambiguity.
    pub fn header_value<S: AsRef<str>>(&self, path: &[S]) -> Option<HeaderValue> {
        let claim = self.at(path)?;
        let mut text = String::new();
        match claim {
            Json::List(list) if list.iter().all(|item| scalar(item).is_some()) => {
                for (i, item) in list.iter().filter_map(scalar).enumerate() {
                    if item.contains(',') {
                        return None;
                    }
                    text.push_str(if i == 0 { "" } else { "," });
                    text.push_str(&item);
                }
            }
            Json::List(_) | Json::Object(_) => {
                let mut json = String::new();
                claim.write(&mut json);
                text = encode(json.as_bytes());
            }
            _ => text = scalar(claim)?,
        }
        if text.len() > MAX_HEADER_VALUE { None } else { HeaderValue::from_bytes(text.as_bytes()).ok() }
    }

    /// Bytes that they take, about.
    pub(crate) fn heap(&self) -> usize {
        json::heap(&self.members)
    }

    fn text(&self, name: &str) -> Option<&str> {
        member(&self.members, name)?.text()
    }
}

fn is_text_or_texts(value: &Json) -> bool {
    match value {
        Json::Text(_) => true,
        Json::List(list) => list.iter().all(|item| matches!(item, Json::Text(_))),
        _ => false,
    }
}

fn is_or_has(claim: &Json, wanted: &str) -> bool {
    match claim {
        Json::Text(text) => **text == *wanted,
        Json::List(list) => list.iter().any(|item| item.text() == Some(wanted)),
        Json::Bool(value) => wanted == if *value { "true" } else { "false" },
        Json::Number(number) => number.to_string() == wanted,
        Json::Null | Json::Object(_) => false,
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.to_string()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}

/// A NumericDate. What is not below 2^53 is no time.
fn seconds(value: &Json, round: fn(f64) -> f64) -> Option<i64> {
    const MOST: i64 = 1 << 53;
    let Json::Number(number) = value else { return None };
    let seconds = match number.as_i64() {
        Some(seconds) => seconds,
        None => {
            let seconds = round(number.as_f64()?);
            // Exact below 2^53; `as` saturates beyond.
            seconds as i64
        }
    };
    (-MOST < seconds && seconds < MOST).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn claims_that_decide_have_their_types() {
        for (claim, name) in [
            (r#""exp":"1""#, "exp"),
            (r#""exp":1e300"#, "exp"),
            (r#""exp":9007199254740992"#, "exp"),
            (r#""exp":null"#, "exp"),
            (r#""nbf":true"#, "nbf"),
            (r#""iat":[]"#, "iat"),
            (r#""iss":1"#, "iss"),
            (r#""iss":["a"]"#, "iss"),
            (r#""sub":{}"#, "sub"),
            (r#""jti":1"#, "jti"),
            (r#""azp":1"#, "azp"),
            (r#""client_id":null"#, "client_id"),
            (r#""aud":["a",1]"#, "aud"),
            (r#""aud":null"#, "aud"),
            (r#""scope":1"#, "scope"),
            (r#""scp":[["a"]]"#, "scp"),
            (r#""cnf":"x""#, "cnf"),
        ] {
            assert_eq!(Claims::parse(format!("{{{claim}}}").as_bytes()), Err(ClaimsError::Type(name)), "{claim}");
        }
        let auds = vec!["\"a\""; 2000].join(",");
        assert_eq!(Claims::parse(format!("{{\"aud\":[{auds}]}}").as_bytes()), Err(ClaimsError::Json(JsonError::Long)));
    }

    #[test]
    fn registered_claims() {
        let read = claims(r#"{"iss":"i","sub":"s","jti":"j","azp":"z","aud":["a","b"],"exp":10.9,"nbf":1.1,"iat":-3}"#);
        assert_eq!(
            (read.issuer(), read.subject(), read.id(), read.client()),
            (Some("i"), Some("s"), Some("j"), Some("z"))
        );
        assert_eq!((read.expires(), read.not_before(), read.issued_at()), (Some(10), Some(2), Some(-3)));
        assert!(read.is_for("a") && read.is_for("b") && !read.is_for("c") && !read.is_for("a,b"));
        assert_eq!(claims(r#"{"azp":"z","client_id":"c"}"#).client(), Some("c"));
        assert!(claims(r#"{"aud":"a"}"#).is_for("a"));
        assert!(!claims("{}").is_for(""));
        assert_eq!(format!("{read:?}"), r#"{"iss", "sub", "jti", "azp", "aud", "exp", "nbf", "iat"}"#);
    }

    #[test]
    fn scopes_are_words_or_a_list() {
        for (text, expected) in [
            (r#"{"scope":"a  b"}"#, vec!["a", "b"]),
            (r#"{"scp":"a"}"#, vec!["a"]),
            (r#"{"scp":["a b","c"]}"#, vec!["a b", "c"]),
            (r#"{"scope":"a","scp":["b"]}"#, vec!["a"]),
            (r#"{"scope":""}"#, vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(claims(text).scopes().collect::<Vec<_>>(), expected, "{text}");
        }
        assert!(!claims(r#"{"scope":"ab"}"#).has_scope("a"));
    }

    #[test]
    fn what_is_to_be_proved() {
        let check = |cnf: &str, jkt, certificate, other| {
            let read = claims(&format!("{{\"cnf\":{cnf}}}"));
            assert_eq!(read.confirmation(), Some(Confirmation { jkt, certificate, other }), "{cnf}");
        };
        check(r#"{"jkt":"k"}"#, Some("k"), None, false);
        check(r#"{"x5t#S256":"c","jkt":"k"}"#, Some("k"), Some("c"), false);
        check(r#"{"jkt":1}"#, None, None, true);
        check(r#"{"jkt":"k","jwk":{}}"#, Some("k"), None, true);
        check("{}", None, None, true);
        assert_eq!(claims("{}").confirmation(), None);
    }

    #[test]
    fn others_by_path() {
        let read = claims(
            r#"{"a":{"b":["x","y"],"n":7},"https://e.org/t":true,"s":"é","z":null,"bad":"x\ny","comma":["a,b"],"deep":[{"k":"v"}]}"#,
        );
        let value =
            |path: &[&str]| read.header_value(path).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        assert_eq!(value(&["a", "b"]).as_deref(), Some("x,y"));
        assert_eq!(value(&["a", "n"]).as_deref(), Some("7"));
        assert_eq!(value(&["https://e.org/t"]).as_deref(), Some("true"));
        assert_eq!(value(&["s"]).as_deref(), Some("é"));
        assert_eq!(value(&["deep"]), Some(encode(br#"[{"k":"v"}]"#)));
        assert_eq!(value(&["a"]), Some(encode(br#"{"b":["x","y"],"n":7}"#)));
        for path in [&["z"][..], &["bad"], &["comma"], &["a", "b", "x"], &["none"], &[]] {
            assert_eq!(value(path), None, "{path:?}");
        }
        let matches = |path: &[&str], values: &[&str]| {
            read.matches(path, &values.iter().map(|value| (*value).into()).collect::<Vec<_>>())
        };
        assert!(
            matches(&["a", "b"], &["q", "y"])
                && matches(&["a", "n"], &["7"])
                && matches(&["https://e.org/t"], &["true"])
        );
        assert!(!matches(&["a", "b"], &["x,y"]) && !matches(&["z"], &["null"]) && !matches(&["a", "b"], &[]));
    }
}
