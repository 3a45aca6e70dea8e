//! Declares tools at run time, with everything that it can see of its surroundings.
use toolgate_guest::{Answer, DynamicTools, Hints, Tool, export_dynamic_tools, text};

struct Naming;

impl DynamicTools for Naming {
    fn list() -> Result<Vec<Tool>, String> {
        let mut seed = [0; 8];
        getrandom(&mut seed);
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let folders = std::fs::read_dir("/data").is_ok();
        let variables = std::env::vars().count();
        let steady = wasip2::clocks::monotonic_clock::now();
        let seen = format!("time {} steady {steady} random {} folders {folders} variables {variables}", time.as_nanos(), seed.iter().any(|b| *b != 0));
        Ok(vec![
            Tool {
                name: "shout".to_owned(),
                title: Some("Shout".to_owned()),
                description: format!("Says it louder. Seen while listing: {seen}."),
                input_schema: r#"{"type":"object","properties":{"what":{"type":"string"}},"required":["what"]}"#.to_owned(),
                output_schema: None,
                hints: Some(Hints { read_only: Some(true), destructive: None, idempotent: None, open_world: None }),
            },
            Tool {
                name: "look".to_owned(),
                title: None,
                description: "Looks into the folder.".to_owned(),
                input_schema: r#"{"type":"object"}"#.to_owned(),
                output_schema: Some(r#"{"type":"object","properties":{"there":{"type":"boolean"}}}"#.to_owned()),
                hints: None,
            },
        ])
    }

    fn call(name: String, arguments: String) -> Result<Answer, String> {
        match name.as_str() {
            "shout" => Ok(text(arguments.to_uppercase()).into()),
            "look" => {
                let there = std::fs::read_dir("/data").is_ok();
                Ok(Answer { content: vec![], structured: Some(format!(r#"{{"there":{there}}}"#)) })
            }
            other => Err(format!("there is no {other}")),
        }
    }
}

fn getrandom(into: &mut [u8; 8]) {
    into.copy_from_slice(&wasip2::random::random::get_random_u64().to_le_bytes());
}

export_dynamic_tools!(Naming);
