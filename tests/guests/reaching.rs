//! Uses HTTP, its store and a folder, both while it declares its tools and when it is called. The test patches the
//! address into the component.
use toolgate_guest::{Answer, DynamicTools, Tool, export_dynamic_tools, text};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

/// Address and port, with five digits to patch.
static PLACE: &str = "127.0.0.1:99999";

struct Reaching;

impl DynamicTools for Reaching {
    fn list() -> Result<Vec<Tool>, String> {
        Ok(vec![Tool {
            name: "go".to_owned(),
            title: None,
            description: format!("Goes out. While it was listed: {}", tried("/listed")),
            input_schema: r#"{"type":"object"}"#.to_owned(),
            output_schema: None,
            hints: None,
        }])
    }

    fn call(_name: String, _arguments: String) -> Result<Answer, String> {
        Ok(text(tried("/called")).into())
    }
}

fn tried(path: &str) -> String {
    let folder = std::fs::write("/data/made", path).is_ok();
    let variables = std::env::vars().count();
    format!("request {} folder {folder} variables {variables}.", ask(path).is_ok())
}

fn ask(path: &str) -> Result<u16, String> {
    let request = OutgoingRequest::new(Fields::new());
    // Prevents the compiler from folding the constant into other forms.
    let place = std::hint::black_box(PLACE);
    let set = request.set_scheme(Some(&Scheme::Http)).and_then(|()| request.set_authority(Some(place)));
    set.and_then(|()| request.set_path_with_query(Some(path))).map_err(|()| "the URL".to_owned())?;
    let coming = outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))?;
    coming.subscribe().block();
    let response = coming.get().ok_or("nothing")?.map_err(|()| "taken")?.map_err(|error| format!("{error:?}"))?;
    Ok(response.status())
}

export_dynamic_tools!(Reaching);
