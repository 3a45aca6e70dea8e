//! Laws of the mapping, checked on random types and values with a fixed seed. `TOOLGATE_CASES=N` checks more values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Weak};

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{Answer, Content, FaultKind, Outcome};
use toolgate_policy::Principal;
use toolgate_policy::limits::wire::{BODY_BYTES_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
use toolgate_policy::load::Grants;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_tests::World;
use toolgate_tests::chance::Chance;
use toolgate_tests::inside::{gate, spec};
use toolgate_tests::wit::component::{Function, Gives, component};
use toolgate_tests::wit::{Type, grow};

use super::echo::{answer, arguments, functions};
use super::judge::{Gap, ONLY_LOWERING, ONLY_SCHEMA, judge};
use super::mutate::mutate;
use super::table::Table;

const SEED: u64 = 20_261_121;
const TYPES: usize = 700;
/// Number of tools in one plugin, a little below the limit.
const TOOLS: usize = 1_000;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(20_000, |cases| cases.parse().unwrap())
}

fn types() -> Vec<Type> {
    grow::types(&mut Chance::new(SEED), TYPES)
}

/// A tool that is served, with its schemas.
struct Tool {
    name: String,
    function: Function,
    input: Validator,
    /// The same for a validator that does not know `prefixItems`.
    older: Validator,
    output: Option<Validator>,
}

/// All functions of all types, served.
struct Made {
    _world: World,
    gate: Gate,
    tools: Vec<Tool>,
}

impl Made {
    /// Shared by concurrent tests, since it is slow to make.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Made>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let made = Arc::new(Self::new());
            *shared = Arc::downgrade(&made);
            made
        })
    }

    fn new() -> Self {
        let mut chance = Chance::new(SEED);
        let types = types();
        let all = types.iter().enumerate().flat_map(|(index, ty)| functions(&mut chance, index, ty));
        Self::serving(all.collect())
    }

    fn serving(all: Vec<Function>) -> Self {
        let mut world = World::new();
        let mut named: BTreeMap<String, Function> = BTreeMap::new();
        let mut plugins = Vec::new();
        for (part, functions) in all.chunks(TOOLS).enumerate() {
            let plugin = format!("p{part}");
            world = world.plugin(&plugin, &component(functions).0);
            named.extend(
                functions.iter().map(|function| (format!("{plugin}_{}", function.name), function.clone())),
            );
            plugins.push(plugin);
        }
        let plugins: Vec<(&str, Grants)> =
            plugins.iter().map(|plugin| (plugin.as_str(), Grants::default())).collect();
        let gate = gate(&world, "state");
        let report = gate.start(&spec(&world, &plugins));
        assert!(report.serves, "{report:?}");
        let listed = {
            let now = gate.now();
            now.list(&Principal::local("test"), &now.moment(None, toolgate_policy::call::Transport::Cli))
        };
        assert_eq!(listed.len(), named.len());
        let tools = listed.iter().map(|tool| {
            let name = tool.listing.name.as_str().to_owned();
            let function = named.remove(&name).unwrap();
            let mut input = Value::Object(tool.listing.input.clone());
            let of_all = schema(&input);
            without_places(&mut input);
            let (input, older) = (of_all, schema(&input));
            let output = tool.listing.output.clone().map(|output| schema(&Value::Object(output)));
            Tool { name, function, input, older, output }
        });
        let tools = tools.collect();
        Self { _world: world, gate, tools }
    }

    /// Tries each tool with its share of the cases, several tools at once; fails with the first problem.
    fn each(
        &self,
        attempt: impl Fn(&Tool, &mut Chance, &dyn Fn(&str) -> Outcome) -> Result<(), String> + Sync,
    ) {
        let each = cases().div_ceil(self.tools.len());
        let wrong = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (attempt, wrong) = (&attempt, &wrong);
                scope.spawn(move || {
                    let runtime = Runtime::new().unwrap();
                    for (index, tool) in self.tools.iter().enumerate().skip(thread).step_by(threads) {
                        let mut chance = Chance::nth(SEED, index as u64);
                        let call = |arguments: &str| call(&runtime, &self.gate, &tool.name, arguments);
                        for case in 0..each {
                            if let Err(told) = attempt(tool, &mut chance, &call) {
                                let signature =
                                    format!("{:?} -> {:?}", tool.function.params, tool.function.result);
                                wrong.lock().unwrap().push(format!(
                                    "{} case {case}: {}\n   {}",
                                    tool.name,
                                    short(&told, 1_500),
                                    short(&signature, 600)
                                ));
                                break;
                            }
                        }
                    }
                });
            }
        });
        let wrong = wrong.into_inner().unwrap();
        let told: Vec<&str> = wrong.iter().take(12).map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} tools break the law:\n{}", wrong.len(), told.join("\n"));
        println!(
            "{} types, {} functions, {} cases",
            types().len(),
            self.tools.len(),
            each * self.tools.len()
        );
    }
}

fn schema(schema: &Value) -> Validator {
    assert!(jsonschema::draft202012::meta::is_valid(schema), "{schema}");
    jsonschema::draft202012::new(schema).unwrap()
}

/// Removes every `prefixItems`.
fn without_places(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("prefixItems").is_some_and(Value::is_array) {
                members.shift_remove("prefixItems");
            }
            members.values_mut().for_each(without_places);
        }
        Value::Array(list) => list.iter_mut().for_each(without_places),
        _ => {}
    }
}

fn bounds() -> JsonLimits {
    let bytes_max = usize::try_from(BODY_BYTES_MAX.default).unwrap();
    JsonLimits { bytes_max, depth_max: JSON_DEPTH_MAX, nodes_max: JSON_NODES_MAX }
}

fn call(runtime: &Runtime, gate: &Gate, tool: &str, arguments: &str) -> Outcome {
    let arguments = Json::parse(arguments.as_bytes(), bounds()).unwrap();
    let request = Request::new(Principal::local("test"), tool, arguments, Interrupt::default());
    runtime.block_on(gate.call(request)).into_inner()
}

fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Compares answers exactly: order of keys and digits of numbers.
fn compare(tool: &Tool, given: &str, expected: &Answer, outcome: Outcome) -> Result<(), String> {
    let Outcome::Answer(answer) = outcome else { return Err(format!("{outcome:?} comes of {given}")) };
    let letters = |answer: &Answer| match &answer.content {
        Content::Value { text, structured } => format!("{text} {structured}"),
        other => format!("{other:?}"),
    };
    if (answer.verdict, &answer.content) != (expected.verdict, &expected.content)
        || letters(&answer) != letters(expected)
    {
        return Err(format!("{answer:?} and not {expected:?} comes of {given}"));
    }
    match (&answer.content, &tool.output) {
        (Content::Value { structured, .. }, Some(output)) if !output.is_valid(structured) => {
            Err(format!("the output schema refuses {structured}"))
        }
        (Content::Value { .. }, None) => Err("a value without a schema".to_owned()),
        _ => Ok(()),
    }
}

#[test]
fn every_constructor_stands_in_every_place_at_every_depth() {
    let types = types();
    let mut table = Table::default();
    types.iter().for_each(|ty| table.add(ty));
    let (text, missing) = table.told();
    println!("{} types; every one is a parameter, a result and an element.\n{text}", types.len());
    assert!(types.len() >= 500 && missing.is_empty(), "{missing:?}");
}

#[test]
fn what_goes_in_comes_back_and_is_what_the_output_schema_says() {
    let made = Made::shared();
    let special = Mutex::new(BTreeMap::from(["NaN", "\"Infinity", "-Infinity"].map(|name| (name, 0))));
    made.each(|tool, chance, call| {
        let arguments = arguments(chance, &tool.function);
        let given = arguments.to_string();
        let verdict = judge(&tool.function.params, &arguments);
        if verdict.lowered.as_ref().map(Value::to_string) != Some(given.clone()) || !verdict.gaps.is_empty() {
            return Err(format!("the test disagrees with itself: {given} is {verdict:?}"));
        }
        if !tool.input.is_valid(&arguments) {
            return Err(format!("the input schema refuses {given}"));
        }
        if !tool.older.is_valid(&arguments) {
            return Err(format!("the input schema without `prefixItems` refuses {given}"));
        }
        let expected = answer(&tool.function, &arguments).unwrap();
        if tool.name.contains("_bits")
            && let Content::Value { text, .. } = &expected.content
        {
            let mut special = special.lock().unwrap();
            special.iter_mut().for_each(|(name, count)| *count += usize::from(text.contains(name)));
        }
        compare(tool, &given, &expected, call(&given))
    });
    let special = special.into_inner().unwrap();
    println!("answers with floats that JSON has no number for: {special:?}");
    assert!(special.values().all(|count| *count > 0), "{special:?}");
}

#[test]
fn the_schema_accepts_what_lowers_but_for_two_lists() {
    let made = Made::shared();
    let verdicts: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let gaps: Mutex<BTreeMap<Gap, usize>> = Mutex::default();
    made.each(|tool, chance, call| {
        let mut arguments = arguments(chance, &tool.function);
        mutate(chance, &tool.function.params, &mut arguments);
        let given = arguments.to_string();
        let schema = tool.input.is_valid(&arguments);
        let outcome = call(&given);
        let lowers = !matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Arguments);
        let verdict = judge(&tool.function.params, &arguments);
        if (schema, lowers) != (verdict.schema, verdict.lowered.is_some()) {
            return Err(format!(
                "the schema says {schema}, lowering says {lowers}, expected {verdict:?} of {given}"
            ));
        }
        *verdicts.lock().unwrap().entry(format!("schema {schema:5}, lowering {lowers:5}")).or_default() += 1;
        if schema != lowers {
            let list = if schema { &ONLY_SCHEMA[..] } else { &ONLY_LOWERING };
            let mut gaps = gaps.lock().unwrap();
            verdict
                .gaps
                .iter()
                .filter(|gap| list.contains(gap))
                .for_each(|gap| *gaps.entry(*gap).or_default() += 1);
        }
        match verdict.lowered.and_then(|lowered| answer(&tool.function, &lowered)) {
            Some(expected) => compare(tool, &given, &expected, outcome),
            None => Ok(()),
        }
    });
    let gaps = gaps.into_inner().unwrap();
    let mut told = String::new();
    for (verdict, count) in verdicts.into_inner().unwrap() {
        writeln!(told, "{verdict}: {count}").unwrap();
    }
    println!("{told}differences: {gaps:?}");
    let met: Vec<Gap> = gaps.into_keys().collect();
    let lists: Vec<Gap> = ONLY_SCHEMA.into_iter().chain(ONLY_LOWERING).collect();
    assert_eq!(met, lists, "each difference that is listed is met, and no other");
}

#[test]
fn what_is_too_large_is_refused_though_the_schema_accepts_it() {
    let functions = functions(&mut Chance::new(SEED), 0, &Type::Bool);
    let made =
        Made::serving(functions.into_iter().filter(|function| function.gives == Gives::List).collect());
    let name = &made.tools[0].function.params[0].0;
    let many = |count: usize| json!({ name: vec![true; count] });
    assert!(made.tools[0].input.is_valid(&many(JSON_NODES_MAX)));
    let read = |count: usize| Json::parse(many(count).to_string().as_bytes(), bounds());
    assert!(read(JSON_NODES_MAX).is_err());
    // The object, its key and the list count as values too.
    assert!(read(JSON_NODES_MAX - 3).is_err(), "and more than the body may be");
    assert!(read(500_000).is_ok());
}
