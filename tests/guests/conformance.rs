//! The tools of the scenarios in MCP's conformance suite, as far as a plugin can provide them.
use std::thread::sleep;
use std::time::Duration;

use toolgate_guest::{Answer, Block, DynamicTools, Tool, audio, export_dynamic_tools, image, progress, resource, text};

struct Conformance;

/// One red pixel.
const PNG: [u8; 69] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00, 0x0c, 0x49,
    0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0xf8, 0xcf, 0xc0, 0x00, 0x00, 0x03, 0x01, 0x01, 0x00, 0xf7, 0x03, 0x41, 0x43,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// An empty recording: 8,000 samples a second, one channel, 8 bits.
const WAV: [u8; 44] = [
    0x52, 0x49, 0x46, 0x46, 0x24, 0x00, 0x00, 0x00, 0x57, 0x41, 0x56, 0x45, 0x66, 0x6d, 0x74, 0x20, 0x10, 0x00, 0x00,
    0x00, 0x01, 0x00, 0x01, 0x00, 0x40, 0x1f, 0x00, 0x00, 0x40, 0x1f, 0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0x64, 0x61,
    0x74, 0x61, 0x00, 0x00, 0x00, 0x00,
];

const NOTHING: &str = r#"{"type":"object","properties":{}}"#;

/// The schema of the scenario `json-schema-2020-12`, which must be listed unchanged.
const JSON_SCHEMA: &str = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},"phone":{"type":"string"},"email":{"type":"string"}},"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},"else":{"required":["email"]},"additionalProperties":false}"##;

const HEADER: &str =
    r#"{"type":"object","properties":{"value":{"type":"string","x-mcp-header":"Value"}},"required":["value"]}"#;

const NAME: &str = r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#;

/// Name, description and argument schema.
const TOOLS: [(&str, &str, &str); 10] = [
    ("test_simple_text", "Answers with a text.", NOTHING),
    ("test_image_content", "Answers with an image.", NOTHING),
    ("test_audio_content", "Answers with sound.", NOTHING),
    ("test_embedded_resource", "Answers with a resource.", NOTHING),
    ("test_multiple_content_types", "Answers with a text, an image and a resource.", NOTHING),
    ("test_error_handling", "Fails.", NOTHING),
    ("test_tool_with_progress", "Reports progress three times.", NOTHING),
    ("json_schema_2020_12_tool", "Has a schema with what JSON Schema 2020-12 brought.", JSON_SCHEMA),
    ("test_custom_header", "Has an argument that is a header as well.", HEADER),
    ("greet", "Greets somebody by name.", NAME),
];

fn pixel() -> Block {
    image("image/png", PNG.to_vec())
}

impl DynamicTools for Conformance {
    fn list() -> Result<Vec<Tool>, String> {
        let tool = |(name, description, schema): (&str, &str, &str)| Tool {
            name: name.to_owned(),
            title: None,
            description: description.to_owned(),
            input_schema: schema.to_owned(),
            output_schema: None,
            hints: None,
        };
        Ok(TOOLS.into_iter().map(tool).collect())
    }

    fn call(name: String, arguments: String) -> Result<Answer, String> {
        let block = match name.as_str() {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => pixel(),
            "test_audio_content" => audio("audio/wav", WAV.to_vec()),
            "test_embedded_resource" => resource(
                "test://embedded-resource",
                Some("text/plain"),
                "This is an embedded resource content.",
            ),
            "test_multiple_content_types" => {
                let data = r#"{"test":"data","value":123}"#;
                return Ok(vec![
                    text("Multiple content types test:"),
                    pixel(),
                    resource("test://mixed-content-resource", Some("application/json"), data),
                ]
                .into());
            }
            "test_error_handling" => return Err("This tool intentionally returns an error for testing".to_owned()),
            "test_tool_with_progress" => {
                for step in [0.0, 50.0, 100.0] {
                    progress(step, Some(100.0), None);
                    sleep(Duration::from_millis(50));
                }
                text("Three reports of progress.")
            }
            "greet" => {
                // The arguments match the schema, so the fourth part between quotes is the name.
                let name = arguments.split('"').nth(3).unwrap_or("nobody");
                text(format!("Hello, {name}!"))
            }
            "json_schema_2020_12_tool" | "test_custom_header" => text(arguments),
            other => return Err(format!("there is no {other}")),
        };
        Ok(block.into())
    }
}

export_dynamic_tools!(Conformance);
