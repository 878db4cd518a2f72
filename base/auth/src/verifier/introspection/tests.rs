//! Questions, answers, and what becomes of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn config() -> IntrospectionConfig {
    IntrospectionConfig::new("https://issuer", ClientAuth::Connection)
}

/// An asker whose answers are those that `answer` gives to the count and body of the question.
fn asker(
    config: IntrospectionConfig,
    answer: impl Fn(usize, &str) -> Result<&'static str, String> + Send + Sync + 'static,
) -> (Arc<Introspector>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let send: SendQuestion = Box::new(move |question| {
        let answer = answer(counter.fetch_add(1, Ordering::SeqCst), question.body.expose());
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer.map(|body| Response { status: StatusCode::OK, body: Bytes::from_static(body.as_bytes()) })
        })
    });
    (Introspector::new(config, send), count)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn client(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

#[test]
fn an_answer_is_shared_and_remembered() {
    let (asker, count) = asker(config(), |_, body| match body.contains("good") {
        true => Ok(r#"{"active":true,"sub":"ada","scope":"read"}"#),
        false => Ok(r#"{"active":false}"#),
    });
    block_on(async {
        let ask = |token: &'static str| asker.authenticate(token, client(1), now());
        let (a, b) = tokio::join!(ask("good"), ask("good"));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(
            (a.issuer(), a.claims().subject(), b.claims().has_scope("read")),
            ("https://issuer", Some("ada"), true)
        );
        assert!(ask("good").await.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        for _ in 0..3 {
            assert_eq!(ask("bad").await.err(), Some(Reject::Inactive));
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
        asker.close().await;
    });
}

#[test]
fn an_answer_says_clearly_that_a_token_is_active() {
    let check = |body: &'static str, expected: Option<Reject>| {
        let (asker, _) = asker(config(), move |_, _| Ok(body));
        block_on(async {
            assert_eq!(asker.authenticate("t", client(1), now()).await.err(), expected, "{body}");
            asker.close().await;
        });
    };
    check(r#"{"active":true}"#, None);
    check(r#"{"active":true,"iss":"https://issuer","exp":1800000001}"#, None);
    // Within the leeway, and past it.
    check(r#"{"active":true,"exp":1799999941}"#, None);
    check(r#"{"active":true,"exp":1799999940}"#, Some(Reject::Inactive));
    check(r#"{"active":true,"nbf":1800000061}"#, Some(Reject::NotYet));
    for body in [
        "",
        "{}",
        r#"{"active":"true"}"#,
        r#"{"active":1}"#,
        r#"{"active":false,"active":true}"#,
        r#"{"active":true,"iss":"https://other"}"#,
        r#"{"active":true,"exp":"soon"}"#,
        r#"[{"active":true}]"#,
    ] {
        check(body, Some(Reject::Unavailable));
    }
}

#[test]
fn without_an_answer_it_is_closed() {
    let (asker, count) = asker(IntrospectionConfig { life: Duration::ZERO, ..config() }, |count, _| match count {
        0 => Err("unreachable".to_owned()),
        _ => Ok(r#"{"active":true}"#),
    });
    block_on(async {
        assert_eq!(asker.authenticate("t", client(1), now()).await.err(), Some(Reject::Unavailable));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        asker.close().await;
        // When it is closed nothing is asked any more.
        assert_eq!(asker.authenticate("t", client(1), now()).await.err(), Some(Reject::Unavailable));
    });
}

#[test]
fn other_statuses_and_long_answers_are_none() {
    let (asker, _) = asker(config(), |_, _| Ok(""));
    let read = |status: u16, body: &str| {
        let response =
            Response { status: StatusCode::from_u16(status).unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) };
        asker.read(&response, now()).map(|_| ())
    };
    assert_eq!(read(200, r#"{"active":true}"#), Ok(()));
    assert_eq!(read(401, r#"{"active":true}"#), Err("the status is not 200"));
    let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(MAX_ANSWER_BYTES));
    assert_eq!(read(200, &long), Err("the answer is too long"));
}

#[test]
fn a_question_that_is_stopped_or_panics_has_ended() {
    block_on(async {
        let send: SendQuestion = Box::new(|_| Box::pin(std::future::pending()));
        let asker = Introspector::new(config(), send);
        let (answer, ()) = tokio::join!(asker.authenticate("t", client(1), now()), asker.close());
        assert_eq!(answer.err(), Some(Reject::Unavailable));
        assert!(asker.state.lock().flights.is_empty());
        let send: SendQuestion = Box::new(|_| Box::pin(async { panic!("it is a test") }));
        let asker = Introspector::new(config(), send);
        for _ in 0..2 {
            assert_eq!(asker.authenticate("t", client(1), now()).await.err(), Some(Reject::Unavailable));
        }
        asker.close().await;
    });
}

#[test]
fn what_is_no_token_is_not_asked_about() {
    let (asker, count) = asker(config(), |_, _| Ok(r#"{"active":true}"#));
    block_on(async {
        for token in ["", "=", "a b", "a=b", "a\n", "é", "a,b"] {
            let reject = asker.authenticate(token, client(1), now()).await.err();
            assert_eq!(reject, Some(Reject::Unreadable(JwsError::Form)), "{token}");
        }
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        let reject = asker.authenticate(&long, client(1), now()).await.err();
        assert_eq!((reject, count.load(Ordering::SeqCst)), (Some(Reject::Unreadable(JwsError::TooLong)), 0));
        assert!(asker.authenticate("aZ0-._~+/==", client(1), now()).await.is_ok());
        asker.close().await;
    });
}

#[test]
fn a_question_is_a_form() {
    let secret = || Secret::new("p&=:é");
    let check = |auth: ClientAuth, body: &str, authorization: Option<&str>| {
        let asked = question("a+/=", &auth);
        assert_eq!(asked.body.expose(), format!("token=a%2B%2F%3D&token_type_hint=access_token{body}"));
        assert_eq!(asked.authorization.as_ref().map(|value| value.to_str().unwrap()), authorization);
        let debug = format!("{asked:?} {auth:?}");
        assert!(
            !debug.contains("a%2B") && !debug.contains("p&") && !debug.contains("own") && !debug.contains("bWU"),
            "{debug}"
        );
    };
    check(ClientAuth::Connection, "", None);
    let basic = ClientAuth::Basic { id: "me:1".into(), secret: secret() };
    check(basic, "", Some("Basic bWUlM0ExOnAlMjYlM0QlM0ElQzMlQTk="));
    let post = ClientAuth::Post { id: "me:1".into(), secret: secret() };
    check(post, "&client_id=me%3A1&client_secret=p%26%3D%3A%C3%A9", None);
    check(ClientAuth::Bearer(Secret::new("own")), "", Some("Bearer own"));
}
