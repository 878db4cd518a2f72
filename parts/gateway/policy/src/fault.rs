//! Failures on purpose: which requests are held up, and which are not served.

use std::time::Duration;

use purlin_traffic::model::{AbortStatus, Fault};
use rand::RngExt;

/// What is done to one request: first the delay, then the abort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the model")]
pub struct Injected {
    pub delay: Option<Duration>,
    pub abort: Option<AbortStatus>,
}

/// Rolls the dice for one request, for each of the two by itself.
pub fn inject(fault: &Fault, random: &mut impl RngExt) -> Injected {
    let mut falls = |millionths: u32| random.random_range(0..1_000_000) < millionths;
    Injected {
        delay: fault.delay.and_then(|(delay, part)| falls(part).then_some(delay)),
        abort: fault.abort.and_then(|(status, part)| falls(part).then_some(status)),
    }
}

/// The status of HTTP that comes nearest to one of gRPC, for a client that does not speak it.
pub fn grpc_to_http(status: u32) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn parts_in_millionths() {
        let delay = Duration::from_millis(5);
        let mut random = StdRng::seed_from_u64(1);
        let mut count = |delayed, aborted| {
            let fault = Fault { delay: Some((delay, delayed)), abort: Some((AbortStatus::Http(503), aborted)) };
            let rolled: Vec<_> = (0..100_000).map(|_| inject(&fault, &mut random)).collect();
            let delays = rolled.iter().filter(|i| i.delay == Some(delay)).count();
            (delays, rolled.iter().filter(|i| i.abort == Some(AbortStatus::Http(503))).count())
        };
        assert_eq!(count(0, 1_000_000), (0, 100_000));
        assert_eq!(count(1_000_000, 0), (100_000, 0));
        let (delays, aborts) = count(250_000, 10_000);
        assert!(delays.abs_diff(25_000) < 600 && aborts.abs_diff(1_000) < 150, "{delays} {aborts}");
        assert_eq!(inject(&Fault::default(), &mut random), Injected::default());
    }
}
