use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn signer() -> TokenSigner {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    TokenSigner::new(key.to_pkcs8v1().unwrap().as_ref(), ISSUER).unwrap()
}

fn object(name: &str) -> ObjectRef {
    ObjectRef { name: name.into(), uid: format!("uid-of-{name}") }
}

fn spec() -> TokenSpec {
    let subject = Subject {
        namespace: "ns".into(),
        serviceaccount: object("sa"),
        pod: Some(object("pod")),
        node: Some(object("node")),
        ..Default::default()
    };
    TokenSpec {
        subject,
        audiences: vec!["a".into(), "b".into()],
        issued_at: at(NOW),
        seconds: 600,
        id: Uuid::from_u128(7),
    }
}

/// A token with a right signature over any header and claims.
fn forge(signer: &TokenSigner, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = signer.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64.encode(signature.as_ref()))
}

#[test]
fn a_token_says_who_it_is() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    let claims = signer.verify(&token, &["x", "b"], at(NOW + 599)).unwrap();
    assert_eq!((claims.subject.clone(), claims.exp, claims.iat), (spec().subject, NOW + 600, NOW));
    let principal = claims.principal();
    assert_eq!(&*principal.name, "system:serviceaccount:ns:sa");
    assert_eq!(principal.uid.as_deref(), Some("uid-of-sa"));
    assert!(principal.is_in("system:serviceaccounts:ns") && principal.is_in("system:authenticated"));
    let extra = |key: &str| principal.extra[&format!("authentication.kubernetes.io/{key}")][0].clone();
    assert_eq!(extra("credential-id"), format!("JTI={}", Uuid::from_u128(7)));
    assert_eq!([extra("pod-name"), extra("pod-uid"), extra("node-name")], ["pod", "uid-of-pod", "node"]);
    assert!(signer.is_ours(&token) && !self::signer().is_ours(&token) && !signer.is_ours("a.b.c"));
}

#[test]
fn audience_and_time_are_checked() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    let check = |audiences: &[&str], now, expected| {
        assert_eq!(signer.verify(&token, audiences, at(now)).err(), expected, "{audiences:?} {now}");
    };
    check(&["a"], NOW, None);
    check(&["c"], NOW, Some(TokenError::Audience));
    check(&[], NOW, Some(TokenError::Audience));
    check(&["a"], NOW + 600, Some(TokenError::Expired));
    check(&["a"], NOW - 60, None);
    check(&["a"], NOW - 61, Some(TokenError::NotYet));
}

#[test]
fn nothing_but_our_key_and_algorithm_is_accepted() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    let claims: Value = decode(token.split('.').nth(1).unwrap(), "").unwrap();
    let check = |token: &str, expected: Option<TokenError>| {
        assert_eq!(signer.verify(token, &["a"], at(NOW)).err(), expected, "{token}");
    };
    let header = |alg: &str| json!({"alg": alg, "kid": signer.kid});
    check(&forge(&signer, &header("ES256"), &claims), None);
    for alg in ["none", "HS256", "RS256", "ES384", "es256", ""] {
        check(&forge(&signer, &header(alg), &claims), Some(TokenError::OtherKey));
    }
    check(&forge(&signer, &json!({"alg": "ES256"}), &claims), Some(TokenError::Malformed("its header")));
    let critical = json!({"alg": "ES256", "kid": signer.kid, "crit": ["b64"], "b64": false});
    check(&forge(&signer, &critical, &claims), Some(TokenError::Malformed("its header names critical extensions")));
    check(&self::signer().sign(spec()).unwrap(), Some(TokenError::OtherKey));
    // Our key's name, another key's signature.
    check(&forge(&self::signer(), &header("ES256"), &claims), Some(TokenError::Signature));
    let mut other = claims.clone();
    other["iss"] = json!("https://elsewhere");
    check(&forge(&signer, &header("ES256"), &other), Some(TokenError::Issuer));
    let mut other = claims.clone();
    other["sub"] = json!("system:serviceaccount:kube-system:admin");
    let expected = TokenError::Malformed("its subject is another than its service account");
    check(&forge(&signer, &header("ES256"), &other), Some(expected));
}

#[test]
fn malformed_tokens_are_refused() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let malformed = [
        String::new(),
        "..".into(),
        parts[..2].join("."),
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
    ];
    for token in malformed {
        let refused = signer.verify(&token, &["a"], at(NOW)).unwrap_err();
        assert!(matches!(refused, TokenError::Malformed(_) | TokenError::Signature), "{token:?}: {refused:?}");
    }
    assert_eq!(signer.verify(&"a".repeat(MAX_TOKEN_BYTES + 1), &["a"], at(NOW)), Err(TokenError::TooLong));
    let long = TokenSpec { audiences: vec!["x".repeat(MAX_TOKEN_BYTES)], ..spec() };
    assert_eq!(signer.sign(long), Err(TokenError::TooLong));
    assert_eq!(TokenSigner::new(b"no key", ISSUER).unwrap_err(), TokenError::BadKey);
}

#[test]
fn every_changed_byte_is_noticed() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    for at_byte in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at_byte] = if bytes[at_byte] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        signer.verify(&changed, &["a"], at(NOW)).unwrap_err();
    }
}

#[test]
fn the_public_documents_verify_tokens() {
    let signer = signer();
    let token = signer.sign(spec()).unwrap();
    let key = &signer.jwks()["keys"][0];
    let part = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], part("x"), part("y")].concat();
    assert_eq!(point.len(), 65);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
    let header: Header = decode(token.split('.').next().unwrap(), "").unwrap();
    assert_eq!((key["kid"].as_str(), key["alg"].as_str()), (Some(header.kid.as_str()), Some("ES256")));
    let configuration = signer.configuration("https://127.0.0.1:6443/openid/v1/jwks");
    assert_eq!(configuration["issuer"], ISSUER);
}
