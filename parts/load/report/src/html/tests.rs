//! What holds for every page: it is whole, small, escaped, and asks for nothing.

use purlin_load_model::plan::{Action, GrpcAction, MessageAction, Step, Template};
use purlin_load_model::series;

use super::*;
use crate::sample;

/// What stands between the tags of a page, as a parser would see it; fails where tags do not match.
fn check_markup(page: &str) {
    const VOID: [&str; 6] = ["meta", "br", "!doctype", "line", "rect", "path"];
    let mut open: Vec<&str> = Vec::new();
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    for (at, _) in page.match_indices('<').filter(|(at, _)| !style.contains(at) || *at == style.start) {
        let tag = page[at + 1..].split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        match tag {
            _ if VOID.contains(&name) => {}
            _ if tag.starts_with('/') => {
                assert_eq!(open.pop(), Some(name), "at {}", &page[at..][..40.min(page.len() - at)])
            }
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn all() -> Vec<(&'static str, Summary)> {
    vec![
        ("good", sample::good()),
        ("overload", sample::overload()),
        ("refused", sample::refused()),
        ("interrupted", sample::interrupted()),
        ("lost", sample::lost()),
        ("hour", sample::hour()),
        ("hostile", sample::hostile()),
        ("nothing", sample::empty(&[])),
    ]
}

#[test]
fn every_page_is_whole_and_asks_for_nothing() {
    for (name, summary) in all() {
        let page = render(&summary);
        check_markup(&page);
        for forbidden in [
            "http-equiv=\"refresh",
            "<script",
            "<link",
            "<img",
            "<iframe",
            "src=",
            "href=",
            "url(",
            "@import",
            "NaN",
            "inf",
        ] {
            assert!(!page.contains(forbidden), "{name}: {forbidden}");
        }
        assert!(page.len() < 300_000, "{name}: {} bytes", page.len());
        assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'") && page.contains("<html lang=\"en\">"));
    }
}

#[test]
fn what_others_wrote_is_escaped() {
    let page = render(&sample::hostile());
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;").count() > 10);
    assert!(!page.contains('\x1b'));
}

#[test]
fn many_steps_do_not_make_it_large() {
    let mut summary = sample::overload();
    let scenario = &mut summary.plan.scenarios[0];
    scenario.steps = (0..150).map(|_| scenario.steps[0].clone()).collect();
    summary.tally.steps = (0..150).map(|_| summary.tally.steps[0].clone()).collect();
    let page = render(&summary);
    assert!(page.len() < 300_000 && page.matches("50 more steps").count() == 2, "{}", page.len());
}

#[test]
fn credentials_stay_out() {
    let mut summary = sample::good();
    let secret = || Template::parse("${uuid} s3cret").unwrap();
    let step = summary.plan.scenarios[0].steps[0].clone();
    let mut with = step.clone();
    let Action::Http(http) = &mut with.action else { panic!() };
    (http.path, http.body) = (Template::parse("/a?token=s3cret").unwrap(), Some(secret()));
    let call = GrpcAction { path: "/a.B/C".into(), metadata: Vec::new(), message: secret() };
    let message = MessageAction { path: "/echo?token=s3cret".into(), headers: Vec::new(), text: secret(), answers: 1 };
    let actions = [Action::Grpc(call), Action::Message(message)];
    let others = actions.into_iter().map(|action| Step { action, ..step.clone() });
    summary.plan.scenarios[0].steps = others.chain([step.clone(), with]).collect();
    let page = render(&summary);
    assert!(page.contains("headers authorization") && !page.contains("s3cret"), "{page}");
    for shown in ["body ${uuid}[7 bytes]", "message ${uuid}[7 bytes]", "text ${uuid}[7 bytes]", "/echo?token=…"] {
        assert!(page.contains(shown), "{shown}");
    }
    // Hidden before or by the page: it is the same.
    summary.hide_secrets();
    assert_eq!(render(&summary), page);
}

#[test]
fn an_hour_has_no_more_points_than_a_chart_shows() {
    let page = render(&sample::hour());
    let longest =
        page.lines().filter(|line| line.starts_with("<path class=\"curve")).map(|line| line.matches('L').count());
    assert_eq!(longest.max(), Some(239));
    assert!(page.contains("Each point stands for 15 seconds: their mean."));
}

#[test]
fn merged_seconds_are_drawn_at_their_rate() {
    let mut summary = sample::hour();
    let page = render(&summary);
    summary.series = series::coarser(&summary.series, 8);
    summary.step = 8;
    let merged = render(&summary);
    // 60 a second, however many seconds a point stands for.
    for page in [&page, &merged] {
        assert!(page.contains("Rates over time: at most 60/s iterations offered"), "{page}");
    }
    assert!(merged.contains("Each point stands for 16 seconds: their mean."));
}

#[test]
fn a_page_has_the_figures_of_its_result() {
    let summary = sample::overload();
    let page = render(&summary);
    let total = summary.total();
    for figure in [
        format::duration(total.latency.quantile(0.99)),
        format::duration(total.service.quantile(0.99)),
        format::count(summary.tally.offered),
        format::count(summary.tally.late_busy),
        format::count(summary.tally.late_self),
        format::count(total.succeeded),
        "2.50 % of the requests failed and 0.40 % were never sent".to_owned(),
        summary.tally.exemplars[0].trace_id.clone(),
        "503 Service Unavailable".to_owned(),
    ] {
        assert!(page.contains(&figure), "{figure}");
    }
    let confession = summary.confession();
    let bare = page.replace("<span class=\"flag\">", "").replace("</span>", "");
    assert!(confession.len() == 2 && confession.iter().all(|sentence| bare.contains(sentence)), "{confession:?}");
}

/// Pages to look at, and for `tests/clients/page.py`, in the folder that `PURLIN_PAGES` names.
#[test]
#[ignore = "writes pages for people to look at"]
fn write_pages() {
    let folder = std::path::PathBuf::from(std::env::var_os("PURLIN_PAGES").unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    for (name, summary) in all() {
        std::fs::write(folder.join(name).with_extension("html"), render(&summary)).unwrap();
    }
}
