//! The same interface in other languages than Rust: `tests/languages`, each built as its own toolchain builds it, pinned. A
//! language is built again only when its sources or its pins changed; one whose tools cannot be installed is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Outcome};
use crate::{guests, packages};

/// How one language builds.
struct Recipe {
    /// What the component is called.
    name: &'static str,
    /// From `tests/languages`, beside the interface.
    sources: &'static [&'static str],
    /// Installs the tools and says where they are.
    tools: fn() -> Outcome<Option<PathBuf>>,
    /// What is run with them, in a folder with the sources and `wit/world.wit`. It leaves `app.wasm`.
    steps: fn(tools: &Path) -> Vec<Command>,
}

const RECIPES: [Recipe; 5] = [
    Recipe {
        name: "javascript-quickjs",
        sources: &["js/app.js"],
        tools: javascript,
        steps: |tools| vec![with(quickjs(tools), &["--backend-qjs-disable-async"])],
    },
    Recipe {
        name: "javascript-quickjs-async",
        sources: &["js/app.js"],
        tools: javascript,
        steps: |tools| vec![quickjs(tools)],
    },
    Recipe {
        name: "javascript-starlingmonkey",
        sources: &["js/app.js", "js/starlingmonkey.mjs"],
        tools: javascript,
        steps: starlingmonkey,
    },
    Recipe { name: "python", sources: &["python/app.py"], tools: python, steps: componentize_py },
    Recipe { name: "c", sources: &["c/app.c"], tools: c, steps: clang },
];

const INTERFACE: &str = "wit/world.wit";
const WORLD: &str = "languages";

const JAVASCRIPT: [&str; 2] = ["@bytecodealliance/jco@1.35.0", "@bytecodealliance/componentize-js@0.23.0"];
const PYTHON: [&str; 1] = ["componentize-py==0.25.1"];
const WIT_BINDGEN: &str = "wit-bindgen-cli@0.61.1";
const DEBIAN: [&str; 4] = ["clang-19", "lld-22", "wasi-libc", "rust-web-llvm"];
/// What `DEBIAN` brings, in its order.
const CLANG: &str = "/usr/bin/clang-19";
const LINKERS: [&str; 2] = ["/usr/lib/llvm-22/bin", "/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin"];
const LIBC: &str = "/usr/lib/wasm32-wasi";

/// Builds every language that can be built here.
pub(crate) fn run() -> Outcome {
    let mut built = 0;
    for recipe in &RECIPES {
        built += usize::from(build(recipe)?);
    }
    Ok(format!("{built} of {} languages built", RECIPES.len()))
}

/// Whether it is there afterwards.
fn build(recipe: &Recipe) -> Outcome<bool> {
    let out = guests::folder()?.join("languages").join(format!("{}.wasm", recipe.name));
    let work = shell::target()?.join("guest-builds/languages").join(recipe.name);
    let Some(tools) = (recipe.tools)()? else {
        drop(std::fs::remove_file(&out));
        return Ok(false);
    };
    let steps = (recipe.steps)(&tools);
    let wanted = stamp(recipe, &steps)?;
    let stamp = work.join("built-from");
    if out.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(true);
    }
    drop(std::fs::remove_dir_all(&work));
    let source = shell::root().join("tests/languages");
    for file in recipe.sources {
        let name = Path::new(file).file_name().unwrap_or_default();
        guests::copy(&source.join(file), &work.join(name))?;
    }
    guests::copy(&source.join(INTERFACE), &work.join(INTERFACE))?;
    for mut step in steps {
        shell::run(step.current_dir(&work))?;
    }
    guests::copy(&work.join("app.wasm"), &out)?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(true)
}

/// All that the component is made of, in full: pins, steps, sources.
fn stamp(recipe: &Recipe, steps: &[Command]) -> Outcome {
    let mut stamp = [&JAVASCRIPT[..], &PYTHON, &[WIT_BINDGEN], &DEBIAN].concat().join("\n");
    for step in steps {
        stamp.push_str(&format!("\n{step:?}"));
    }
    for file in recipe.sources.iter().chain([&INTERFACE]) {
        let path = shell::root().join("tests/languages").join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        stamp.push_str(&format!("\n{file}\n{text}"));
    }
    Ok(stamp)
}

fn javascript() -> Outcome<Option<PathBuf>> {
    packages::node("javascript", &JAVASCRIPT)
}

fn python() -> Outcome<Option<PathBuf>> {
    packages::python("componentize-py", &PYTHON)
}

fn c() -> Outcome<Option<PathBuf>> {
    let linkers = [format!("{}/wasm-ld", LINKERS[0]), format!("{}/wasm-component-ld", LINKERS[1])];
    if packages::debian("c", &DEBIAN, &[CLANG, &linkers[0], LIBC, &linkers[1]])?.is_none() {
        return Ok(None);
    }
    packages::cargo("wit-bindgen", WIT_BINDGEN, "c")
}

fn quickjs(tools: &Path) -> Command {
    let jco = Command::new(tools.join("node_modules/.bin/jco"));
    let app = ["componentize", "app.js", "--wit", INTERFACE, "--world-name", WORLD, "-o", "app.wasm"];
    with(with(jco, &app), &["--backend", "qjs"])
}

/// jco cannot switch off what StarlingMonkey imports whether it is used or not; the library below it can.
fn starlingmonkey(tools: &Path) -> Vec<Command> {
    let mut node = with(Command::new("node"), &["starlingmonkey.mjs", WORLD]);
    node.arg(tools.join("node_modules/@bytecodealliance/componentize-js/src/componentize.js"));
    vec![node]
}

fn componentize_py(tools: &Path) -> Vec<Command> {
    let program = Command::new(tools.join("bin/componentize-py"));
    vec![with(program, &["-d", "wit", "-w", WORLD, "componentize", "app", "-o", "app.wasm"])]
}

fn clang(tools: &Path) -> Vec<Command> {
    let bindings = with(Command::new(tools.join("bin/wit-bindgen")), &["c", INTERFACE, "--world", WORLD]);
    let compile = with(
        Command::new(CLANG),
        &["--target=wasm32-wasi", "-Os", "-Wall", "-Wextra", "-Werror", "-c", "app.c", "languages.c"],
    );
    let mut link = Command::new(format!("{}/wasm-component-ld", LINKERS[1]));
    link.env("PATH", format!("{}:{}", LINKERS[0], std::env::var("PATH").unwrap_or_default()));
    link.arg("--no-entry").arg(format!("-L{LIBC}")).arg(format!("{LIBC}/crt1-reactor.o"));
    let objects = ["app.o", "languages.o", "languages_component_type.o", "-lc", "-o", "app.wasm"];
    vec![bindings, compile, with(link, &objects)]
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}
