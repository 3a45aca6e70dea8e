//! The same interface in other languages than Rust: `tests/languages`, each built as its own toolchain builds it, pinned. A
//! language is built again only when its sources or its pins changed; one whose tools cannot be installed is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Outcome};
use crate::{guests, packages};

/// What other people made, and what is built with it.
struct Toolchain {
    /// What decides what comes out, beside sources and steps.
    pins: &'static [&'static str],
    /// Installs the tools and says where they are.
    tools: fn() -> Outcome<Option<PathBuf>>,
    /// The components.
    recipes: &'static [Recipe],
}

/// How one component is built.
struct Recipe {
    /// What it is called.
    name: &'static str,
    /// From `tests/languages`, beside the interface.
    sources: &'static [&'static str],
    /// What is run with the tools, in a folder with the sources and `wit/world.wit`. It leaves `app.wasm`.
    steps: fn(tools: &Path) -> Vec<Command>,
}

const TOOLCHAINS: [Toolchain; 3] = [
    Toolchain {
        pins: &JAVASCRIPT,
        tools: || packages::node("javascript", &JAVASCRIPT),
        recipes: &[
            Recipe {
                name: "javascript-quickjs",
                sources: &["js/app.js"],
                steps: |tools| vec![with(quickjs(tools), &["--backend-qjs-disable-async"])],
            },
            Recipe {
                name: "javascript-quickjs-async",
                sources: &["js/app.js"],
                steps: |tools| vec![quickjs(tools)],
            },
            Recipe {
                name: "javascript-starlingmonkey",
                sources: &["js/app.js", "js/starlingmonkey.mjs"],
                steps: starlingmonkey,
            },
        ],
    },
    Toolchain {
        pins: &PYTHON,
        tools: || packages::python("componentize-py", &PYTHON),
        recipes: &[Recipe { name: "python", sources: &["python/app.py"], steps: componentize_py }],
    },
    Toolchain {
        pins: &[WIT_BINDGEN],
        tools: c,
        recipes: &[Recipe { name: "c", sources: &["c/app.c"], steps: clang }],
    },
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

/// Builds every component that can be built here.
pub(crate) fn run() -> Outcome {
    let (mut built, mut all) = (0, 0);
    for toolchain in &TOOLCHAINS {
        let tools = (toolchain.tools)()?;
        for recipe in toolchain.recipes {
            let out = guests::folder()?.join("languages").join(format!("{}.wasm", recipe.name));
            all += 1;
            match &tools {
                Some(tools) => {
                    build(toolchain, recipe, tools, &out)?;
                    built += 1;
                }
                // One of before would be tested as if it were of now.
                None => drop(std::fs::remove_file(out)),
            }
        }
    }
    Ok(format!("{built} of {all} languages built"))
}

fn build(toolchain: &Toolchain, recipe: &Recipe, tools: &Path, out: &Path) -> Outcome<()> {
    let work = shell::target()?.join("guest-builds/languages").join(recipe.name);
    let steps = (recipe.steps)(tools);
    let wanted = made_of(toolchain, recipe, &steps)?;
    let stamp = work.join("made-of");
    if out.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
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
    guests::copy(&work.join("app.wasm"), out)?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// All that a component is made of, in full: pins, steps, sources.
fn made_of(toolchain: &Toolchain, recipe: &Recipe, steps: &[Command]) -> Outcome {
    let mut text = toolchain.pins.join("\n");
    for step in steps {
        text.push_str(&format!("\n{}", shell::show(step)));
    }
    for file in recipe.sources.iter().chain([&INTERFACE]) {
        let path = shell::root().join("tests/languages").join(file);
        let source =
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        text.push_str(&format!("\n{file}\n{source}"));
    }
    Ok(text)
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
