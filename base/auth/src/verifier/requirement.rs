//! What a route demands of a token that is authentic: the second step, after the route is known.

use super::Verified;
use super::answer::Denied;
use super::jws::Typ;

/// What a route demands. What is empty demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The token is of one of these issuers.
    pub issuers: Vec<Box<str>>,
    /// It is for one of these audiences.
    pub audiences: Vec<Box<str>>,
    /// It has each of these scopes.
    pub all_scopes: Scopes,
    /// And one of these.
    pub any_scope: Scopes,
    /// What its header may say that it is.
    pub types: Types,
    /// Whether it has to be bound to a key of the client's.
    pub bound: bool,
    /// Each of these claims is as it says.
    pub claims: Vec<ClaimRule>,
}

/// Scopes by their names, none of which could break out of the challenge that names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Box<str>>);

/// Which types of tokens are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Types {
    /// Those that say nothing, `JWT` or `at+jwt`; not those made for something else, as proofs and logout tokens.
    #[default]
    Common,
    /// Only `at+jwt` (RFC 9068), so that an ID token is none. What introspection tells of is an access token.
    AccessToken,
}

/// A claim that is demanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// Where it stands.
    pub path: Vec<Box<str>>,
    /// It is one of these, or a list that has one.
    pub values: Vec<Box<str>>,
}

/// What the sender of a request has shown to own, beside the token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proof<'a> {
    /// Thumbprint of the key (RFC 7638) with which it has signed this request (RFC 9449), in base64url.
    pub jkt: Option<&'a str>,
    /// SHA-256 of the certificate of its connection, in base64url.
    pub certificate: Option<&'a str>,
}

impl Scopes {
    /// None where a name is no scope by RFC 6749 section 3.3.
    pub fn new<S: AsRef<str>>(names: &[S]) -> Option<Scopes> {
        let allowed = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
        let is_scope = |name: &str| !name.is_empty() && name.bytes().all(allowed);
        let names: Vec<Box<str>> = names.iter().map(|name| name.as_ref().into()).collect();
        names.iter().all(|name| is_scope(name)).then_some(Scopes(names))
    }
}

impl Requirement {
    /// Whether the token suffices.
    pub fn check(&self, token: &Verified, proof: Proof<'_>) -> Result<(), Denied> {
        let claims = token.claims();
        if !self.issuers.is_empty() && !self.issuers.iter().any(|issuer| **issuer == *token.issuer()) {
            return Err(Denied::Issuer);
        }
        let typ_fits = match token.typ() {
            Typ::AccessToken => true,
            Typ::Absent | Typ::Jwt => self.types == Types::Common,
            Typ::Other => false,
        };
        if !typ_fits {
            return Err(Denied::Typ);
        }
        if !self.audiences.is_empty() && !self.audiences.iter().any(|audience| claims.is_for(audience)) {
            return Err(Denied::Audience);
        }
        // A token that is bound is worth nothing to a thief, so it is refused without proof even where none is demanded.
        let proven = match claims.confirmation() {
            None => !self.bound,
            Some(bound) => {
                let shown =
                    |wanted: Option<&str>, shown: Option<&str>| wanted.is_none_or(|wanted| shown == Some(wanted));
                !bound.other && shown(bound.jkt, proof.jkt) && shown(bound.certificate, proof.certificate)
            }
        };
        if !proven {
            return Err(Denied::Unproven);
        }
        let (all, any) = (&self.all_scopes.0, &self.any_scope.0);
        let has_any = any.is_empty() || any.iter().any(|scope| claims.has_scope(scope));
        if !has_any || !all.iter().all(|scope| claims.has_scope(scope)) {
            return Err(Denied::Scope(if has_any { all.clone() } else { [all.as_slice(), any].concat() }));
        }
        if !self.claims.iter().all(|rule| claims.matches(&rule.path, &rule.values)) {
            return Err(Denied::Claim);
        }
        Ok(())
    }
}
