//! Tokens from the door to the route.

use serde_json::{Value, json};

use super::requirement::{ClaimRule, Scopes, Types};
use super::testkeys::{Signer, set};
use super::*;
use crate::verifier::jwk::Algorithm;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://issuer", "sub": "ada", "aud": ["shop", "bank"], "exp": NOW + 300, "nbf": NOW, "iat": NOW,
        "scope": "read write", "realm": {"roles": ["a", "b"]}})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().shift_remove(name);
    claims
}

fn verifier(signers: &[&Signer]) -> Verifier {
    let issuer = Issuer::fixed(IssuerConfig::new("https://issuer"), &set(signers)).unwrap();
    Verifier::new([Arc::new(issuer)], 1 << 20)
}

#[test]
fn each_algorithm_verifies_what_its_key_signed() {
    for algorithm in Algorithm::ALL {
        let [signer, other] = ["a", "b"].map(|kid| Signer::new(algorithm, kid));
        let verifier = verifier(&[&signer]);
        let token = signer.sign(&claims());
        // Twice: the second comes from the cache.
        for _ in 0..2 {
            let verified = verifier.authenticate_now(&token, at(NOW)).unwrap();
            assert_eq!((verified.issuer(), verified.claims().subject()), ("https://issuer", Some("ada")));
        }
        assert_eq!(verifier.authenticate_now(&other.sign(&claims()), at(NOW)).err(), Some(Reject::Key));
        let forged = other.named("a").sign(&claims());
        assert_eq!(verifier.authenticate_now(&forged, at(NOW)).err(), Some(Reject::Signature), "{algorithm:?}");
    }
}

#[test]
fn times_are_looked_at_each_time() {
    let signer = Signer::new(Algorithm::EdDsa, "a");
    let verifier = verifier(&[&signer]);
    let check = |token: &str, second: i64, expected: Option<Reject>| {
        assert_eq!(verifier.authenticate_now(token, at(second)).err(), expected, "{second}");
    };
    let token = signer.sign(&claims());
    for _ in 0..2 {
        check(&token, NOW - 61, Some(Reject::NotYet));
        check(&token, NOW - 60, None);
        check(&token, NOW + 359, None);
        check(&token, NOW + 360, Some(Reject::Expired));
    }
    assert_eq!(verifier.authenticate_now(&token, at(NOW)).unwrap().expires(), Some(NOW + 360));
    check(&signer.sign(&without("exp")), NOW, Some(Reject::Endless));
    check(&signer.sign(&without("nbf")), 0, None);
    check(&signer.sign(&with("exp", i64::MAX)), NOW, Some(Reject::Claims(claims::ClaimsError::Type("exp"))));
}

#[test]
fn an_issuer_can_have_tokens_without_end() {
    let signer = Signer::new(Algorithm::EdDsa, "a");
    let config = IssuerConfig { endless: true, ..IssuerConfig::new("https://issuer") };
    let verifier = Verifier::new([Arc::new(Issuer::fixed(config, &set(&[&signer])).unwrap())], 1 << 20);
    let verified = verifier.authenticate_now(&signer.sign(&without("exp")), at(NOW)).unwrap();
    assert_eq!(verified.expires(), None);
}

#[test]
fn an_issuer_vouches_for_its_own_tokens_only() {
    let [a, b] = ["k", "k"].map(|kid| Signer::new(Algorithm::EdDsa, kid));
    let issuers = [("https://a", &a), ("https://b", &b)]
        .map(|(name, signer)| Arc::new(Issuer::fixed(IssuerConfig::new(name), &set(&[signer])).unwrap()));
    let verifier = Verifier::new(issuers, 1 << 20);
    let check = |signer: &Signer, issuer: Value, expected: Option<Reject>| {
        let token = signer.sign(&with("iss", issuer));
        assert_eq!(verifier.authenticate_now(&token, at(NOW)).err(), expected);
    };
    check(&a, "https://a".into(), None);
    check(&b, "https://b".into(), None);
    check(&a, "https://b".into(), Some(Reject::Signature));
    check(&a, "https://a/".into(), Some(Reject::Issuer));
    check(&a, "HTTPS://a".into(), Some(Reject::Issuer));
    assert_eq!(verifier.authenticate_now(&a.sign(&without("iss")), at(NOW)).err(), Some(Reject::Issuer));
}

#[test]
fn the_algorithm_is_the_keys() {
    let signer = Signer::new(Algorithm::Rs256, "a");
    let verifier = verifier(&[&signer]);
    let payload = claims().to_string();
    for (header, expected) in [
        (r#"{"alg":"PS256","kid":"a"}"#, Reject::Unreadable(JwsError::Algorithm)),
        (r#"{"alg":"HS256","kid":"a"}"#, Reject::Unreadable(JwsError::Algorithm)),
        (r#"{"alg":"none","kid":"a"}"#, Reject::Unreadable(JwsError::Algorithm)),
        (r#"{"alg":"RS256","kid":"b"}"#, Reject::Key),
    ] {
        assert_eq!(
            verifier.authenticate_now(&signer.sign_raw(header, &payload), at(NOW)).err(),
            Some(expected),
            "{header}"
        );
    }
    // A key of that algorithm is found where the token names none.
    assert!(verifier.authenticate_now(&signer.sign_raw(r#"{"alg":"RS256"}"#, &payload), at(NOW)).is_ok());
    let other = Signer::new(Algorithm::Rs256, "a").sign_raw(r#"{"alg":"RS256"}"#, &payload);
    assert_eq!(verifier.authenticate_now(&other, at(NOW)).err(), Some(Reject::Signature));
}

#[test]
fn what_old_keys_have_verified_is_forgotten() {
    let [old, new] = ["old", "new"].map(|kid| Signer::new(Algorithm::EdDsa, kid));
    let sets = [set(&[&old]), set(&[&old, &new]), set(&[&new])];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let issuer = Arc::new(Issuer::learning(IssuerConfig::new("https://issuer"), refresh::Pace::quick()));
        let verifier = Verifier::new([Arc::clone(&issuer)], 1 << 20);
        let token = old.sign(&claims());
        assert_eq!(verifier.authenticate_now(&token, at(NOW)).err(), Some(Reject::Unavailable));
        let count = std::sync::atomic::AtomicUsize::new(0);
        let fetch: issuer::Fetch = Box::new(move || {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let keys = bytes::Bytes::copy_from_slice(&sets[count.min(2)]);
            Box::pin(async { Ok(keys) })
        });
        let stop = tokio_util::sync::CancellationToken::new();
        let body = async {
            assert!(verifier.authenticate(&token, at(NOW)).await.is_ok());
            assert!(verifier.authenticate(&new.sign(&claims()), at(NOW)).await.is_ok());
            assert!(verifier.authenticate_now(&token, at(NOW)).is_ok());
            while issuer.generation() < 3 {
                issuer.wait_for("none").await;
                tokio::task::yield_now().await;
            }
            assert_eq!(verifier.authenticate_now(&token, at(NOW)).err(), Some(Reject::Key));
            assert!(verifier.authenticate_now(&new.sign(&claims()), at(NOW)).is_ok());
            stop.cancel();
        };
        tokio::join!(issuer.run(fetch, || 0.5, stop.clone()), body);
    });
}

#[test]
fn a_route_demands() {
    let signer = Signer::new(Algorithm::EdDsa, "a");
    let verifier = verifier(&[&signer]);
    let verified = |header: &str, claims: &Value| {
        let token = signer.sign_raw(header, &claims.to_string());
        verifier.authenticate_now(&token, at(NOW)).unwrap()
    };
    let names = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|name| (*name).into()).collect() };
    let scopes = |names: &[&str]| Scopes::new(names).unwrap();
    let token = verified(r#"{"alg":"EdDSA"}"#, &claims());
    let check = |requirement: Requirement, expected: Result<(), Denied>| {
        assert_eq!(requirement.check(&token, Proof::default()), expected);
    };
    let any = Requirement::default;
    check(any(), Ok(()));
    check(Requirement { issuers: names(&["x", "https://issuer"]), ..any() }, Ok(()));
    check(Requirement { issuers: names(&["x"]), ..any() }, Err(Denied::Issuer));
    check(Requirement { audiences: names(&["x", "bank"]), ..any() }, Ok(()));
    check(Requirement { audiences: names(&["x", "sho"]), ..any() }, Err(Denied::Audience));
    check(Requirement { all_scopes: scopes(&["read", "write"]), ..any() }, Ok(()));
    let missing = Err(Denied::Scope(names(&["read", "admin"])));
    check(Requirement { all_scopes: scopes(&["read", "admin"]), ..any() }, missing.clone());
    check(Requirement { all_scopes: scopes(&["read"]), any_scope: scopes(&["admin"]), ..any() }, missing);
    check(Requirement { any_scope: scopes(&["admin", "read"]), ..any() }, Ok(()));
    let rule = |path: &[&str], value: &str| vec![ClaimRule { path: names(path), values: names(&[value]) }];
    check(Requirement { claims: rule(&["realm", "roles"], "b"), ..any() }, Ok(()));
    check(Requirement { claims: rule(&["realm", "roles"], "c"), ..any() }, Err(Denied::Claim));
    check(Requirement { claims: rule(&["none"], ""), ..any() }, Err(Denied::Claim));
    check(Requirement { types: Types::AccessToken, ..any() }, Err(Denied::Typ));
    check(Requirement { bound: true, ..any() }, Err(Denied::Unproven));
    let access = Requirement { types: Types::AccessToken, ..any() };
    assert_eq!(access.check(&verified(r#"{"alg":"EdDSA","typ":"at+jwt"}"#, &claims()), Proof::default()), Ok(()));
    let logout = verified(r#"{"alg":"EdDSA","typ":"logout+jwt"}"#, &claims());
    assert_eq!(any().check(&logout, Proof::default()), Err(Denied::Typ));
}

#[test]
fn a_bound_token_needs_its_key() {
    let signer = Signer::new(Algorithm::EdDsa, "a");
    let verifier = verifier(&[&signer]);
    let check = |cnf: Value, jkt, certificate, expected: Result<(), Denied>| {
        let token = signer.sign(&with("cnf", cnf.clone()));
        let verified = verifier.authenticate_now(&token, at(NOW)).unwrap();
        for bound in [false, true] {
            let requirement = Requirement { bound, ..Requirement::default() };
            assert_eq!(requirement.check(&verified, Proof { jkt, certificate }), expected, "{cnf}");
        }
    };
    check(json!({"jkt": "k"}), Some("k"), None, Ok(()));
    check(json!({"x5t#S256": "c"}), None, Some("c"), Ok(()));
    check(json!({"x5t#S256": "c", "jkt": "k"}), Some("k"), Some("c"), Ok(()));
    for (cnf, jkt, certificate) in [
        (json!({"jkt": "k"}), None, None),
        (json!({"jkt": "k"}), Some("K"), None),
        (json!({"jkt": "k"}), None, Some("k")),
        (json!({"x5t#S256": "c", "jkt": "k"}), Some("k"), None),
        (json!({"jwk": {}}), Some("k"), Some("c")),
        (json!({}), Some("k"), Some("c")),
    ] {
        check(cnf, jkt, certificate, Err(Denied::Unproven));
    }
}

#[test]
fn scopes_cannot_leave_their_quotes() {
    for name in ["", "a b", "a\"", "a\\", "é", "a\n"] {
        assert_eq!(Scopes::new(&[name]), None, "{name}");
    }
    assert!(Scopes::new(&["a", "https://x/y.read"]).is_some());
}

#[test]
fn nothing_of_a_token_is_in_debug() {
    let signer = Signer::new(Algorithm::EdDsa, "a");
    let verifier = verifier(&[&signer]);
    let token = signer.sign(&with("email", "ada@example.org"));
    let verified = verifier.authenticate_now(&token, at(NOW)).unwrap();
    let text = format!("{verified:?} {verifier:?}");
    assert!(!text.contains("ada") && !text.contains(&token), "{text}");
}
