//! Why a request is refused, and what its sender hears of it: RFC 6750, RFC 7617.
//!
//! The reason is for the log and the metrics. The sender hears what to do (bring a token, bring another, get more scopes,
//! come again), never what exactly was wrong.

use http::{HeaderValue, StatusCode};

use super::claims::ClaimsError;
use super::jws::JwsError;

/// Who a request comes from could not be established.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The token cannot be read.
    #[error(transparent)]
    Unreadable(#[from] JwsError),
    /// Its claims cannot be.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// It has no issuer, or one that is not trusted.
    #[error("the token is of no issuer that is trusted here")]
    Issuer,
    /// Its key is not one of its issuer's.
    #[error("the token's key is not known")]
    Key,
    /// The signature is not its key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It would never expire.
    #[error("the token has no exp")]
    Endless,
    /// Its issuer says that it is not, or no longer, valid.
    #[error("the token is not active")]
    Inactive,
    /// User, password or API key are wrong or cannot be read.
    #[error("the credentials are wrong")]
    Credentials,
    /// What is needed to decide cannot be had now.
    #[error("the issuer cannot be reached")]
    Unavailable,
    /// Too much is being decided already, or this client has failed too often.
    #[error("too many tokens are waiting to be checked")]
    Busy,
}

impl Reject {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Reject::Unreadable(_) => "unreadable",
            Reject::Claims(_) => "claims",
            Reject::Issuer => "issuer",
            Reject::Key => "key",
            Reject::Signature => "signature",
            Reject::Expired => "expired",
            Reject::NotYet => "not_yet",
            Reject::Endless => "endless",
            Reject::Inactive => "inactive",
            Reject::Credentials => "credentials",
            Reject::Unavailable => "unavailable",
            Reject::Busy => "busy",
        }
    }
}

/// The sender is known and may not do this with this token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is of an issuer that is not trusted for this.
    #[error("the token's issuer is not allowed here")]
    Issuer,
    /// It is meant for others.
    #[error("the token is for another audience")]
    Audience,
    /// It is no access token.
    #[error("the token is of another type")]
    Typ,
    /// The sender has not proved to own what the token is bound to, or it is bound to nothing and has to be.
    #[error("the token is bound to a key that the sender has not shown")]
    Unproven,
    /// It lacks scopes, which are those.
    #[error("the token lacks a scope: {}", .0.join(" "))]
    Scope(Vec<Box<str>>),
    /// It lacks another claim.
    #[error("the token lacks a claim or has another value of it")]
    Claim,
}

impl Denied {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Denied::Issuer => "issuer",
            Denied::Audience => "audience",
            Denied::Typ => "typ",
            Denied::Unproven => "unproven",
            Denied::Scope(_) => "scope",
            Denied::Claim => "claim",
        }
    }
}

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// `WWW-Authenticate`.
    pub challenge: Option<HeaderValue>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u32>,
}

/// What the sender is asked to log in to: `realm` of RFC 9110.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(Box<str>);

impl Realm {
    /// None where the text cannot stand between quotes.
    pub fn new(realm: &str) -> Option<Realm> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        (realm.len() <= 256 && realm.bytes().all(plain)).then(|| Realm(realm.into()))
    }

    /// To a request without a token: no error is named, as RFC 6750 section 3.1 says.
    pub fn missing(&self) -> Answer {
        self.bearer(StatusCode::UNAUTHORIZED, "")
    }

    /// To a request that brings tokens in several places, or none where it says that it does.
    pub fn malformed(&self) -> Answer {
        self.bearer(StatusCode::BAD_REQUEST, ", error=\"invalid_request\"")
    }

    /// To a token that was refused.
    pub fn rejected(&self, reject: &Reject) -> Answer {
        match reject {
            Reject::Unavailable => later(StatusCode::SERVICE_UNAVAILABLE, 5),
            Reject::Busy => later(StatusCode::TOO_MANY_REQUESTS, 1),
            _ => self.invalid_token(),
        }
    }

    /// To a token that does not suffice.
    pub fn denied(&self, denied: &Denied) -> Answer {
        match denied {
            Denied::Issuer | Denied::Audience | Denied::Typ | Denied::Unproven => self.invalid_token(),
            Denied::Scope(scopes) => {
                let scopes = scopes.join(" ");
                self.bearer(StatusCode::FORBIDDEN, &format!(", error=\"insufficient_scope\", scope=\"{scopes}\""))
            }
            Denied::Claim => self.bearer(StatusCode::FORBIDDEN, ", error=\"insufficient_scope\""),
        }
    }

    /// To a request without user and password, or with wrong ones (RFC 7617).
    pub fn basic(&self) -> Answer {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.0);
        let challenge = HeaderValue::try_from(challenge).ok();
        Answer { status: StatusCode::UNAUTHORIZED, challenge, retry_after: None }
    }

    fn invalid_token(&self) -> Answer {
        let error = ", error=\"invalid_token\", error_description=\"The access token is not valid\"";
        self.bearer(StatusCode::UNAUTHORIZED, error)
    }

    fn bearer(&self, status: StatusCode, rest: &str) -> Answer {
        let challenge = HeaderValue::try_from(format!("Bearer realm=\"{}\"{rest}", self.0)).ok();
        Answer { status, challenge, retry_after: None }
    }
}

fn later(status: StatusCode, seconds: u32) -> Answer {
    Answer { status, challenge: None, retry_after: Some(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &Answer, status: u16, challenge: Option<&str>, retry_after: Option<u32>) {
        let told = answer.challenge.as_ref().map(|value| value.to_str().unwrap());
        assert_eq!((answer.status.as_u16(), told, answer.retry_after), (status, challenge, retry_after));
    }

    #[test]
    fn the_sender_hears_what_to_do() {
        let realm = Realm::new("shop").unwrap();
        check(&realm.missing(), 401, Some("Bearer realm=\"shop\""), None);
        check(&realm.malformed(), 400, Some("Bearer realm=\"shop\", error=\"invalid_request\""), None);
        check(&realm.basic(), 401, Some("Basic realm=\"shop\", charset=\"UTF-8\""), None);
        check(&realm.rejected(&Reject::Unavailable), 503, None, Some(5));
        check(&realm.rejected(&Reject::Busy), 429, None, Some(1));
        let scopes = Denied::Scope(vec!["read".into(), "write".into()]);
        let needed = "Bearer realm=\"shop\", error=\"insufficient_scope\", scope=\"read write\"";
        check(&realm.denied(&scopes), 403, Some(needed), None);
        check(&realm.denied(&Denied::Claim), 403, Some("Bearer realm=\"shop\", error=\"insufficient_scope\""), None);
    }

    #[test]
    fn all_invalid_tokens_look_alike() {
        let realm = Realm::new("").unwrap();
        let rejects = [
            Reject::Unreadable(JwsError::Form),
            Reject::Claims(ClaimsError::Type("exp")),
            Reject::Issuer,
            Reject::Key,
            Reject::Signature,
            Reject::Expired,
            Reject::NotYet,
            Reject::Endless,
            Reject::Inactive,
            Reject::Credentials,
        ];
        let answers = rejects.iter().map(|reject| realm.rejected(reject));
        let denials = [Denied::Issuer, Denied::Audience, Denied::Typ, Denied::Unproven];
        for answer in answers.chain(denials.iter().map(|denied| realm.denied(denied))) {
            let challenge =
                "Bearer realm=\"\", error=\"invalid_token\", error_description=\"The access token is not valid\"";
            check(&answer, 401, Some(challenge), None);
        }
    }

    #[test]
    fn a_realm_stays_between_its_quotes() {
        for realm in ["a\"b", "a\\", "é", "a\nb", &"x".repeat(257)] {
            assert_eq!(Realm::new(realm), None, "{realm}");
        }
    }
}
