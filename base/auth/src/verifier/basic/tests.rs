//! Logins and lists of users.

use super::*;

/// The password is `password`.
const BCRYPT: &str = "$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu";
const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

fn header(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn login(user: &str, password: &str) -> Login {
    Login { user: user.into(), password: Secret::new(password) }
}

fn client(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn a_login_is_read_strictly() {
    for (text, user, password) in
        [("ada:pass:word", "ada", "pass:word"), (":x", "", "x"), ("ada:", "ada", ""), ("é:ü", "é", "ü")]
    {
        assert_eq!(Login::parse(&header(text)), Ok(login(user, password)), "{text}");
    }
    assert_eq!(Login::parse("bAsIc  YTpi"), Ok(login("a", "b")));
    let long = header(&format!("a:{}", "b".repeat(MAX_HEADER_BYTES)));
    let latin = format!("Basic {}", STANDARD.encode(b"a:\xff"));
    for text in [
        "",
        "Basic",
        "Basic ",
        "Basic YTp",
        "Basic YTp*",
        "Basic YTpi=",
        "Basic YT pi",
        "Bearer YTpi",
        "BasicYTpi",
        &long,
        &latin,
    ] {
        assert_eq!(Login::parse(text), Err(Reject::Credentials), "{text}");
    }
    for text in ["ada", "ada:a\nb", "a\0:b"] {
        assert_eq!(Login::parse(&header(text)), Err(Reject::Credentials), "{text}");
    }
    assert!(!format!("{:?}", login("ada", "hunter2")).contains("hunter2"));
}

#[test]
fn a_list_is_read_strictly() {
    let fails = |list: &str, expected: UsersError| assert_eq!(Users::parse(list).err(), Some(expected), "{list:.40}");
    fails("# users\n\nada", UsersError::Line { line: 3, reason: "has no colon after the user's name" });
    fails(&format!(":{SHA}"), UsersError::Line { line: 1, reason: "has no user's name" });
    let twice = UsersError::Line { line: 2, reason: "has a user that stands there before" };
    fails(&format!("ada:{SHA}\nada:{BCRYPT}"), twice);
    let unknown = "is none of bcrypt ($2y$), apr1 and {SHA}; write it with htpasswd -B";
    fails("ada:secret", UsersError::Line { line: 1, reason: unknown });
    fails(&"\n".repeat(MAX_LIST_BYTES + 1), UsersError::Large);
    let many: String = (0..=MAX_USERS).map(|i| format!("u{i}:{SHA}\n")).collect();
    fails(&many, UsersError::Many);
    let users = Users::parse(&format!("# users\r\nada:{SHA}\r\n")).unwrap();
    assert!(!format!("{users:?}").contains("W6ph"));
}

#[test]
fn a_password_is_that_of_its_user() {
    let users = Users::parse(&format!("ada:{BCRYPT}\nbob:{SHA}\ncy:$apr1$abcdEF12$WMVym8dMxLt5YqNSj/Lix/")).unwrap();
    block_on(async {
        for _ in 0..2 {
            for (user, password, right) in [
                ("ada", "password", true),
                ("bob", "password", true),
                ("cy", "a", true),
                ("ada", "Password", false),
                ("bob", "", false),
                ("cy", "password", false),
                ("eve", "password", false),
                ("", "", false),
                ("ADA", "password", false),
            ] {
                let expected = if right { Ok(user.into()) } else { Err(Reject::Credentials) };
                assert_eq!(users.authenticate(&login(user, password), client(1)).await, expected, "{user}");
            }
        }
    });
    assert_eq!(
        block_on(Users::parse("").unwrap().authenticate(&login("ada", ""), client(1))),
        Err(Reject::Credentials)
    );
}

#[test]
fn slow_checks_are_few_and_remembered() {
    let users = Users::parse(&format!("ada:{BCRYPT}")).unwrap();
    block_on(async {
        let right = login("ada", "password");
        assert!(users.authenticate(&right, client(1)).await.is_ok());
        // From now on nobody gets a check.
        let all = users.checks.acquire_many(CHECKS as u32).await.unwrap();
        for _ in 0..100 {
            assert!(users.authenticate(&right, client(2)).await.is_ok());
        }
        let waiting = users.waiting.try_acquire_many(WAITING as u32).unwrap();
        assert_eq!(users.authenticate(&login("ada", "x"), client(2)).await, Err(Reject::Busy));
        drop((waiting, all));
        // A client that guesses is stopped, be it with other names; others are not, nor those who were right before.
        let (mut wrong, mut busy) = (0, 0);
        for i in 0..200 {
            match users.authenticate(&login(&format!("u{i}"), "x"), client(3)).await {
                Err(Reject::Credentials) => wrong += 1,
                Err(Reject::Busy) => busy += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(wrong >= 20 && busy > 0, "{wrong} {busy}");
        assert!(users.authenticate(&right, client(3)).await.is_ok());
        assert_eq!(users.authenticate(&login("ada", "y"), client(4)).await, Err(Reject::Credentials));
    });
}
