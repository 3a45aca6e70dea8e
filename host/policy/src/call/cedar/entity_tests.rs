//! Callers, targets and circumstances are what the schema says, so that what was validated is what is evaluated.

use std::collections::BTreeSet;

use cedar_policy::{Entities, Request};

use super::*;
use crate::call::fixtures_tests::{NOON, facts, local, plugin, served, service, target, tool, user};
use crate::call::{ArgumentFact, ArgumentType, Moment, TargetKind};

fn world<'a>(
    caller: &Caller,
    around: Entities,
    schema: &'a cedar_policy::Schema,
) -> (Entities, &'a cedar_policy::Schema) {
    let all = around.into_iter().chain([caller.entity.clone()]);
    (Entities::from_entities(all, Some(schema)).unwrap(), schema)
}

#[test]
fn callers_targets_and_circumstances_conform_to_the_schema() {
    let types = Types::new().unwrap();
    let general = schema::general(&BTreeSet::from(["pay_send".to_owned()])).unwrap();
    let pay = plugin("pay", "reads out", &["house"]);
    let read = ["now", "source"].map(str::to_owned).into();
    let stdio = Moment { source: None, ..NOON };
    let callers = [user("corp/a", &["corp/b"], &["c"]), service("apikey/ci"), local()];
    for (principal, moment) in callers.iter().flat_map(|one| [(one, NOON), (one, stdio)]) {
        let caller = types.caller(principal).unwrap();
        for (target, action) in [
            (tool("pay_send", &pay), "pay_send"),
            (tool("call", &pay), "call"),
            (target(TargetKind::Resource("pay://x".into()), &pay), "read"),
            (target(TargetKind::Prompt("x".into()), &pay), "get"),
        ] {
            let (resource, around) = types.target(&target, true, action).unwrap();
            let (_, schema) = world(&caller, around, &general);
            let context = entity::context(&moment, &read, None).unwrap();
            let request =
                Request::new(caller.uid.clone(), types.action(action), resource, context, Some(schema));
            assert!(request.is_ok(), "{principal} {}: {request:?}", target.kind());
        }
    }
}

#[test]
fn arguments_of_every_visible_type_conform_to_the_schema_of_their_tool() {
    let list = |kind| ArgumentType::Set(Box::new(kind));
    let optional = |kind| ArgumentType::Optional(Box::new(kind));
    let record = |fields: [(&str, ArgumentType); 3]| {
        ArgumentType::Record(fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect())
    };
    let inner = record([
        ("if", ArgumentType::Bool),
        ("b-c", optional(list(ArgumentType::Text))),
        ("d", ArgumentType::Hidden),
    ]);
    let mut deep = ArgumentType::Long;
    for _ in 0..40 {
        deep = list(deep);
    }
    let tool = served(
        &tool("pay_send", &plugin("pay", "", &[])),
        &[
            ("in", ArgumentType::Bool),
            ("n", ArgumentType::Long),
            ("some-text", optional(ArgumentType::Text)),
            ("quote\"d", ArgumentType::Long),
            ("", ArgumentType::Long),
            ("set", list(list(ArgumentType::Long))),
            ("record", optional(inner.clone())),
            ("records", list(inner)),
            ("options", list(optional(ArgumentType::Long))),
            ("deep", deep),
            ("hidden", ArgumentType::Hidden),
        ],
    );
    let schema = schema::of_tool(
        &schema::entities().unwrap(),
        "pay_send",
        &tool.arguments,
        &BTreeSet::from(["other".to_owned()]),
    )
    .unwrap();
    let text = || ArgumentFact::Text("x\"\u{202e}".to_owned());
    let set = |items: &[ArgumentFact]| ArgumentFact::Set(items.to_vec());
    let fields = ArgumentFact::Record(
        [("if", ArgumentFact::Bool(true)), ("b-c", set(&[text()])), ("d", ArgumentFact::Unreadable)]
            .map(|(name, fact)| (name.to_owned(), fact))
            .into(),
    );
    let facts = facts(&[
        ("in", ArgumentFact::Bool(false)),
        ("n", ArgumentFact::Long(i64::MIN)),
        ("some-text", text()),
        ("quote\"d", ArgumentFact::Long(1)),
        ("set", set(&[set(&[]), set(&[ArgumentFact::Long(1)])])),
        ("record", fields.clone()),
        ("records", set(&[fields.clone(), fields])),
        ("hidden", text()),
        ("extra", text()),
    ]);
    let types = Types::new().unwrap();
    let caller = types.caller(&user("corp/a", &[], &[])).unwrap();
    let (resource, _) = types.target(&tool.target, false, "pay_send").unwrap();
    let read = ["now", "source"].map(str::to_owned).into();
    let record = entity::record(facts.arguments().unwrap(), &tool.arguments, 0).unwrap();
    let context = entity::context(&NOON, &read, Some(record)).unwrap();
    let request = Request::new(caller.uid, types.action("pay_send"), resource, context, Some(&schema));
    assert!(request.is_ok(), "{request:?}");
}
