//! Declares a thousand tools at run time.
use toolgate_guest::{Answer, DynamicTools, Tool, export_dynamic_tools, text};

struct Many;

impl DynamicTools for Many {
    fn list() -> Result<Vec<Tool>, String> {
        let tool = |number: usize| Tool {
            name: format!("tool{number:04}"),
            title: None,
            description: format!("Number {number}. {}", "It does what it says. ".repeat(20)),
            input_schema: r#"{"type":"object","properties":{"what":{"type":"string"}}}"#.to_owned(),
            output_schema: None,
            hints: None,
        };
        Ok((0..1_000).map(tool).collect())
    }

    fn call(name: String, _: String) -> Result<Answer, String> {
        Ok(text(name).into())
    }
}

export_dynamic_tools!(Many);
