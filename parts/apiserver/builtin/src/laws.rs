//! What holds for every kind and any JSON: nothing panics, defaults are final, an object that did not change passes
//! the checks of an update.

use proptest::prelude::*;
use purlin_apiserver_schema::{ColumnSource, ResourceDef};
use serde_json::{Map, Value};

use crate::{resources, reviews};

/// Field names that the kinds read, so that random objects reach their code.
const KEYS: [&str; 40] = [
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "spec",
    "status",
    "data",
    "binaryData",
    "stringData",
    "type",
    "immutable",
    "ports",
    "port",
    "protocol",
    "targetPort",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "selector",
    "sessionAffinity",
    "externalIPs",
    "endpoints",
    "addresses",
    "addressType",
    "subsets",
    "ip",
    "hints",
    "forZones",
    "rules",
    "verbs",
    "roleRef",
    "subjects",
    "kind",
    "aggregationRule",
    "clusterRoleSelectors",
    "names",
    "versions",
    "series",
    "finalizers",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z0-9./:=ä\u{1f980} -]{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["IPv4", "IPv6", "FQDN", "None", "ClusterIP", "ExternalName", "LoadBalancer", "::1"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(KEYS.to_vec()), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(KEYS.to_vec()), json()), 0..10)
        .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>().into())
}

fn defs() -> Vec<ResourceDef> {
    resources().into_iter().chain(reviews()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_survived(first in object(), second in object(), odd in json()) {
        for def in defs() {
            let strategy = def.strategy;
            for (old, new) in [(&first, &second), (&odd, &first), (&first, &odd)] {
                let (mut old, mut new) = (old.clone(), new.clone());
                (strategy.default)(&mut old);
                (strategy.prepare_create)(&mut old);
                (strategy.validate)(&old, None);
                (strategy.default)(&mut new);
                let once = new.clone();
                (strategy.default)(&mut new);
                prop_assert_eq!(&once, &new, "{}: defaults are not final", def.key());
                (strategy.prepare_update)(&mut new, &old);
                (strategy.validate)(&new, Some(&old));
                for column in &def.stored().columns {
                    let ColumnSource::Func(cell) = column.source else { continue };
                    cell(&new, 0);
                }
                if let Some(alias) = strategy.alias {
                    (alias.to_stored)(&mut new);
                    (alias.from_stored)(&mut new);
                }
            }
        }
    }

    #[test]
    fn what_was_accepted_stays(object in object()) {
        for def in defs() {
            let strategy = def.strategy;
            let mut old = object.clone();
            (strategy.default)(&mut old);
            (strategy.prepare_create)(&mut old);
            if !(strategy.validate)(&old, None).is_empty() {
                continue;
            }
            let mut new = old.clone();
            (strategy.default)(&mut new);
            (strategy.prepare_update)(&mut new, &old);
            let errors = (strategy.validate)(&new, Some(&old));
            prop_assert!(errors.is_empty(), "{}: {errors:?} of {new}", def.key());
        }
    }
}
