//! Snapshots of the text, one for each way in which a run goes.

use purlin_load_model::summary;

use super::*;
use crate::sample;

const PLAIN: Style = Style { color: false, width: 100 };

#[test]
fn a_good_run() {
    insta::assert_snapshot!(render(&sample::good(), PLAIN), @"
    Target       http://127.0.0.1:8080
                 HTTP/1.1, 50 connections, 2 threads
    Load         1,000/s for 30 s, evenly spaced

    ✓ The target kept up: all 30,000 requests succeeded.

    Offered      30,000 iterations = 30,000 on time + 0 late + 0 not sent
    Succeeded    30,000 requests (1,000/s in 30 s)
    Failed       0 requests (0 % of what was sent)

                        p50       p90       p99     p99.9       max      mean
    Latency         1.05 ms   1.79 ms   5.48 ms   19.1 ms   27.6 ms   1.33 ms
    Service time    1.05 ms   1.79 ms   5.48 ms   19.1 ms   27.6 ms   1.33 ms
                 Latency counts from the intended start, service time from the sending.

    Status       30,000 × 200 OK
    Connections  50 opened in 348 µs (p50), 523 µs (p99), 523 µs at most
    Traffic      sent 2.52 MB (84.0 kB/s), received 37.0 MB (1.23 MB/s)
    Generator    0.31 cores, busiest thread 16.0 %, other processes of the machine 34.0 %, 18.4 MB,
                 starts late by 0 (p99)

    Slowest      9.29 ms at 18.6 s, trace 000000000000000000efd30f09b0203c
                 7.70 ms at 26.9 s, trace 0000000000000000015028cd3c73116f
                 6.94 ms at 16.2 s, trace 0000000000000000019530b14bce9d09
    ");
}

#[test]
fn an_overloaded_target() {
    insta::assert_snapshot!(render(&sample::overload(), PLAIN), @"
    Target       http://127.0.0.1:8080
                 HTTP/1.1, 50 connections, 2 threads
    Load         500/s for 1 min, evenly spaced

    ✗ The target fell behind the rate, 2.50 % of the requests failed and 0.40 % were never sent, and the
      generator itself was late.

    Offered      30,120 iterations = 27,060 on time + 2,940 late + 120 not sent
    Succeeded    29,250 requests (488/s in 1 min)
    Failed       752 requests (2.51 % of what was sent)

                        p50       p90       p99     p99.9       max      mean
    Latency         1.09 ms   39.0 ms    903 ms    994 ms    10.0 s   55.1 ms
    Service time    1.09 ms   15.3 ms   51.8 ms   55.8 ms    10.0 s   6.54 ms
                 Latency counts from the intended start, service time from the sending.

    list            10,000 requests, 250 failed (2.50 %)
      latency       1.09 ms    111 ms    901 ms    991 ms    1.00 s   61.5 ms
      service       1.08 ms   18.8 ms   51.8 ms   55.4 ms   65.3 ms   6.22 ms
    get item        10,000 requests, 250 failed (2.50 %)
      latency       1.09 ms   12.9 ms    901 ms    991 ms    1.00 s   51.4 ms
      service       1.09 ms   12.9 ms   51.9 ms   55.8 ms   77.7 ms   6.19 ms
    order           10,002 requests, 252 failed (2.52 %)
      latency       1.10 ms   14.5 ms    903 ms    994 ms    10.0 s   52.4 ms
      service       1.10 ms   14.5 ms   51.7 ms   56.2 ms    10.0 s   7.21 ms

    Status       29,250 × 200 OK, 750 × 503 Service Unavailable
    Errors       750 × wrong status: the status codes say which; the target's log says why
                 1 × timed out: no whole answer within 10 s: what does the target wait for? Its slowest
                 traces and its queues tell
                 1 × closed early: the connection ended before the whole answer: did the target, or a
                 proxy before it, crash, restart or shed load?
    Connections  50 opened in 348 µs (p50), 523 µs (p99), 523 µs at most
    Traffic      sent 2.52 MB (42.0 kB/s), received 37.0 MB (617 kB/s)
    Generator    0.31 cores, busiest thread 16.0 %, other processes of the machine 34.0 %, 18.4 MB,
                 starts late by 850 ms (p99)

    Slowest      963 ms at 44 s (order), trace 0000000000000000bc20394679dafdc5
                 945 ms at 24.1 s (get item), trace 0000000000000000c99a5d1a57579d48
                 927 ms at 4.1 s (list), trace 0000000000000000b08a2b885379506f

    ┃ Read these figures with care
    ┃ • 0.3 % of the iterations began 1 ms late or more though a connection was free (p99 of all starts:
    ┃   850.4 ms late): this machine is too slow or too busy for the rate
    ┃ • 9.9 % of the iterations waited for a free connection: the target is slower than the rate asks,
    ┃   or needs more connections (--connections)
    ");
}

#[test]
fn a_target_that_refuses() {
    insta::assert_snapshot!(render(&sample::refused(), PLAIN), @"
    Target       http://127.0.0.1:8080
                 HTTP/1.1, 50 connections, 2 threads
    Load         1,000/s for 30 s, evenly spaced

    ✗ No request succeeded: no connection.

    Offered      30,000 iterations = 30,000 on time + 0 late + 0 not sent
    Succeeded    0 requests (0/s in 30 s)
    Failed       30,000 requests (100 % of what was sent)

    Status       none: there was no answer
    Errors       30,000 × no connection: is something listening on 127.0.0.1, port 8080? A full accept
                 queue or a firewall looks the same
    Connections  none opened while the figures counted; 30,000 attempts failed: no connection
    Traffic      sent 0 B (0 B/s), received 0 B (0 B/s)
    Generator    0.00 cores, busiest thread 0 %, other processes of the machine 0 %, 0 B, starts late by
                 12.0 µs (p99)
    ");
}

#[test]
fn an_interrupted_run_in_a_narrow_terminal() {
    insta::assert_snapshot!(render(&sample::interrupted(), Style { color: false, width: 60 }), @"
    Target       http://127.0.0.1:8080
                 HTTP/1.1, 50 connections, 2 threads
    Load         1,000/s for 30 s, evenly spaced

    ! The figures are incomplete. 1 request in flight at the end
      had no answer yet.

    Offered      1,000 iterations = 1,000 on time + 0 late + 0
                 not sent
    Succeeded    1,000 requests (1,000/s in 1 s)
    Failed       1 request (0.10 % of what was sent)

                        p50       p99     p99.9       max
    Latency         1.05 ms   5.84 ms   15.5 ms   22.7 ms
    Service time    1.05 ms   5.84 ms   15.5 ms   22.7 ms
                 Latency counts from the intended start, service
                 time from the sending.

    Status       1,000 × 200 OK
    Errors       1 × unfinished: still in flight when the run
                 ended
    Connections  50 opened in 348 µs (p50), 523 µs (p99), 523 µs
                 at most
    Traffic      sent 84.0 kB (84.0 kB/s), received 1.23 MB
                 (1.23 MB/s)
    Generator    0.31 cores, busiest thread 16.0 %, other
                 processes of the machine 34.0 %, 18.4 MB,
                 starts late by 0 (p99)

    Slowest      1.82 ms at 600 ms, trace
                 000000000000000018bc06792ef095e2
                 1.13 ms at 500 ms, trace
                 00000000000000006240ac137883465f
                 1.10 ms at 0 s, trace
                 00000000000000006c576fac43fd007c

    ┃ Missing in these figures
    ┃ • interrupted after 1 s of 30 s
    ");
}

#[test]
fn one_process_of_three_was_lost() {
    insta::assert_snapshot!(render(&sample::lost(), PLAIN), @"
    Target       http://127.0.0.1:8080
                 HTTP/1.1, 50 connections, 3 processes, 2 threads
    Load         1,000/s for 30 s, evenly spaced

    ! The figures are incomplete. The target kept up: all 30,000 requests succeeded.

    Offered      30,000 iterations = 30,000 on time + 0 late + 0 not sent
    Succeeded    30,000 requests (1,000/s in 30 s)
    Failed       0 requests (0 % of what was sent)

                        p50       p90       p99     p99.9       max      mean
    Latency         1.05 ms   1.79 ms   5.48 ms   19.1 ms   27.6 ms   1.33 ms
    Service time    1.05 ms   1.79 ms   5.48 ms   19.1 ms   27.6 ms   1.33 ms
                 Latency counts from the intended start, service time from the sending.

    Status       30,000 × 200 OK
    Connections  50 opened in 348 µs (p50), 523 µs (p99), 523 µs at most
    Traffic      sent 2.52 MB (84.0 kB/s), received 37.0 MB (1.23 MB/s)
    Generator    0.31 cores, busiest thread 16.0 %, other processes of the machine 34.0 %, 18.4 MB,
                 starts late by 0 (p99)

    Slowest      9.29 ms at 18.6 s, trace 000000000000000000efd30f09b0203c
                 7.70 ms at 26.9 s, trace 0000000000000000015028cd3c73116f
                 6.94 ms at 16.2 s, trace 0000000000000000019530b14bce9d09

    ┃ Missing in these figures
    ┃ • process 2 of 3 ended by signal 9 after 12.4 s: its share of the load was not sent from then on,
    ┃   and what it had counted since 12 s is lost
    ");
}

#[test]
fn thresholds_tell_what_must_not_be_and_what_is() {
    let mut summary = sample::good();
    let verdict = |threshold: &str, passed, measured: &str| summary::Verdict {
        threshold: threshold.to_owned(),
        passed,
        measured: measured.to_owned(),
    };
    summary.verdicts = vec![
        verdict("p99>50ms", true, "p99 of the latency is 9.29 ms"),
        verdict("errors>0", false, "3 requests failed"),
    ];
    let text = render(&summary, PLAIN);
    let told = "Must not be  ✓ p99>50ms is not so: p99 of the latency is 9.29 ms\n             ✗ errors>0 is so: 3 requests failed\n";
    assert!(text.contains(told), "{text}");
    let page = crate::html::render(&summary);
    assert!(page.contains("✓ p99&gt;50ms is not so") && page.contains("✗ errors&gt;0 is so"));
}

#[test]
fn a_closed_loop_is_told_what_it_hides() {
    let mut summary = sample::good();
    summary.plan.pace = Pace::Closed { duration: Duration::from_secs(30) };
    let text = render(&summary, PLAIN);
    assert!(text.contains("closed loop") && text.contains("Name a rate") && text.contains("Begun"), "{text}");
    assert!(!text.contains("on time"), "{text}");
}

#[test]
fn nothing_steers_the_terminal_and_nothing_is_wider_than_it() {
    let text = render(&sample::hostile(), PLAIN);
    assert!(!text.contains('\x1b'), "{text}");
    for width in [0, 20, 40, 72, 100, 200] {
        let text = render(&sample::overload(), Style { color: false, width });
        assert!(text.lines().all(|line| columns(line) <= width), "{width}\n{text}");
    }
}

#[test]
fn colour_only_paints() {
    let summary = sample::overload();
    let painted = render(&summary, Style { color: true, width: 100 });
    let mut pieces = painted.split("\x1b[");
    let first = pieces.next().unwrap().to_owned();
    let text = pieces.fold(first, |text, piece| text + piece.split_once('m').unwrap().1);
    let bare = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(bare(&text), bare(&render(&summary, PLAIN)));
    assert_ne!(painted, render(&summary, PLAIN));
}
