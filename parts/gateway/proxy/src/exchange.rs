//! One request and its answer: judge the head, find the rule, act on it.

use std::rc::Rc;

use http::header::{COOKIE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use crate::answer::{self, Failure};
use crate::body::{Out, Upload};
use crate::client::{self, Origin};
use crate::connection::Downstream;
use crate::filters::{self, Outgoing};
use crate::forward::{Onward, forward};
use crate::head::{self, Target};
use crate::policy::Plan;
use crate::record::Record;
use crate::snapshot::{Act, BindPlan, NoListener, Rule, RuleId, Share};
use crate::trace::Ids;
use crate::websocket;
use crate::{headers, mirror};

/// Answers one request.
pub(crate) async fn serve(downstream: Rc<Downstream>, mut request: Request<Incoming>) -> Response<Out> {
    let upgrade = upgrade_asked(&mut request);
    let (head, body) = request.into_parts();
    let snapshot = downstream.worker.snapshot();
    let (upload, state) = Upload::new(body, head.version, downstream.limits.body_idle);
    let bind = snapshot.binds.get(&downstream.bind);
    let client = bind.and_then(|bind| bind.client.as_ref());
    let origin = Origin::of(client, &head.headers, &downstream);
    downstream.began();
    let mut record = Box::new(Record {
        snapshot: snapshot.clone(),
        started: Instant::now(),
        method: head.method.clone(),
        version: head.version,
        authority: None,
        path: head.uri.clone(),
        has_settings: client.is_some(),
        noted: client.and_then(|client| client.note(&head.headers)),
        ids: Ids::of(&head.headers, &origin),
        origin,
        rule: None,
        upstream: None,
        status: 0,
        upload: state,
        bytes_out: 0,
        flag: "",
        malformed: None,
        complete: false,
        downstream,
    });
    let (target, id) = match route(&head, bind, &snapshot.rules, &mut record) {
        Ok(found) => found,
        Err(failure) => return answer::fail(failure, record),
    };
    let Some(rule) = snapshot.rule(id) else { return answer::fail(Failure::NO_ROUTE, record) };
    let asked = Asked { head, upload, target, upgrade };
    let mut answer = match &rule.policy {
        None => act(rule, asked, record).await,
        // Boxed, so that what policies remember costs only the requests that have some.
        Some(plan) => Box::pin(policed(plan, rule, asked, record)).await,
    };
    if let Some(log) = client.and_then(|client| client.log.as_ref()) {
        let shown = client::pick(&log.response_headers, answer.headers());
        if let Some(noted) = answer.body_mut().record().and_then(|record| record.noted.as_mut()) {
            noted.response = shown;
        }
    }
    answer
}

/// A request of a rule that policies hold for.
async fn policed(plan: &Plan, rule: &Rule, mut asked: Asked, mut record: Box<Record>) -> Response<Out> {
    let mut after = plan.after(&asked.head);
    let answer = match plan.admit(&asked.head, &mut asked.upload, &mut record, &mut after).await {
        Ok(()) => act(rule, asked, record).await,
        Err(refusal) => refusal.answer(record),
    };
    after.finish(answer)
}

/// The protocol that the client wants to change to, by either version's means.
fn upgrade_asked(request: &mut Request<Incoming>) -> Option<(HeaderValue, OnUpgrade)> {
    let protocol = match request.version() {
        Version::HTTP_11 => headers::upgrade(request.headers())?,
        Version::HTTP_2 => websocket::of_extended_connect(request)?,
        _ => return None,
    };
    Some((protocol, hyper::upgrade::on(request)))
}

/// A request that found its rule.
struct Asked {
    head: Parts,
    upload: Upload,
    target: Target,
    upgrade: Option<(HeaderValue, OnUpgrade)>,
}

fn route(
    head: &Parts,
    bind: Option<&BindPlan>,
    rules: &[Rule],
    record: &mut Record,
) -> Result<(Target, RuleId), Failure> {
    let target = head::judge(head)?;
    record.authority = Some(target.authority.clone());
    if let Some(expect) = head.headers.get(EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Failure::EXPECTATION);
    }
    let downstream = &record.downstream;
    let bind = bind.ok_or(Failure::NO_LISTENER)?;
    let sni = downstream.tls.as_ref().map(Option::as_deref);
    let listener = bind.listener(target.host(), sni).map_err(|why| match why {
        NoListener::Unknown => Failure::NO_LISTENER,
        NoListener::Misdirected => Failure::MISDIRECTED,
    })?;
    let id = listener.rule(rules, head, &target).ok_or(Failure::NO_ROUTE)?;
    record.rule = Some(id);
    Ok((target, id))
}

async fn act(rule: &Rule, asked: Asked, record: Box<Record>) -> Response<Out> {
    let https = record.origin.https;
    match &rule.act {
        Act::Broken => answer::fail(Failure::BROKEN, record),
        Act::Redirect(to) => {
            let port = record.downstream.bind.port();
            match filters::redirect(to, &asked.target, https, port, rule.prefix()) {
                Some((status, location)) => {
                    let mut response = answer::redirect(status, location, record);
                    rule.response_filters.iter().for_each(|change| change.apply(response.headers_mut()));
                    response
                }
                None => answer::fail(Failure::BROKEN, record),
            }
        }
        Act::Forward(shares, total) => match pick(shares, *total, &mut rand::rng()) {
            Some(share) => {
                let mut onward = onward(rule, share, asked, &record);
                mirror::copy(rule.mirrors.iter().chain(&share.mirrors), &mut onward, &record);
                forward(rule, share, onward, record).await
            }
            None => answer::fail(Failure::NO_BACKEND, record),
        },
    }
}

/// One of the backends, by weight.
fn pick<'a>(shares: &'a [Share], total: u64, random: &mut impl rand::RngExt) -> Option<&'a Share> {
    if let [only] = shares {
        return (total > 0).then_some(only);
    }
    let mut at = if total > 0 { random.random_range(0..total) } else { return None };
    shares.iter().find(|share| {
        let weight = u64::from(share.weight);
        let here = at < weight;
        at = at.saturating_sub(weight);
        here
    })
}

/// The request as it is sent on.
fn onward(rule: &Rule, share: &Share, asked: Asked, record: &Record) -> Onward {
    let Asked { mut head, upload, target, upgrade } = asked;
    headers::strip_hop_by_hop(&mut head.headers);
    headers::strip_disguised(&mut head.headers);
    headers::canonical_length(&mut head.headers);
    head.headers.remove(EXPECT);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    headers::set_forwarded(&mut head.headers, record.downstream.client.ip(), &record.origin, &target.authority);
    record.ids.put(&mut head.headers);
    let mut outgoing = Outgoing { headers: &mut head.headers, authority: target.authority, path: target.path };
    for filter in rule.request_filters.iter().chain(&share.request_filters) {
        filter.apply(&mut outgoing, rule.prefix());
    }
    let (authority, path) = (outgoing.authority, outgoing.path);
    Onward { method: head.method, headers: head.headers, authority, path, upload, upgrade }
}

/// HTTP/2 may split Cookie into several fields; HTTP/1.1 has one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn share(weight: u32) -> Share {
        Share { weight, cluster: None, request_filters: Vec::new(), response_filters: Vec::new(), mirrors: Vec::new() }
    }

    #[test]
    fn weights() {
        let shares = [share(1), share(0), share(3), share(6)];
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let mut counts = [0u32; 4];
        for _ in 0..10_000 {
            let picked = pick(&shares, 10, &mut random).unwrap();
            counts[shares.iter().position(|s| std::ptr::eq(s, picked)).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, expected) in counts.into_iter().zip([1_000u32, 0, 3_000, 6_000]) {
            assert!(count.abs_diff(expected) <= 150, "{counts:?}");
        }
    }

    #[test]
    fn nothing_to_pick() {
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        assert!(pick(&[], 0, &mut random).is_none());
        assert!(pick(&[share(0)], 0, &mut random).is_none());
        assert!(pick(&[share(0), share(0)], 0, &mut random).is_none());
    }

    #[test]
    fn cookie_crumbs() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
