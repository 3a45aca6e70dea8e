//! External packages, pinned and installed once below the target folder, with a stamp of the pins. Debian's go to the
//! system, only if `shell::may_install`. Packages that cannot be installed are skipped with a message.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use crate::guests::{self, Toolchain};
use crate::shell::{self, Outcome};

/// Packages of one kind that are installed together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packages {
    /// Python packages in a virtual environment.
    Python(&'static [&'static str]),
    /// Node packages, installed without running their scripts.
    Node(&'static [&'static str]),
    /// Debian packages.
    Debian {
        /// Package names.
        names: &'static [&'static str],
        /// Files that show that they are installed.
        files: &'static [&'static str],
    },
}

impl Packages {
    /// Installs missing packages and returns the virtual environment, the folder with `node_modules`, or the file
    /// system's root. `None` if they cannot be installed.
    pub(crate) fn install(self, name: &str) -> Outcome<Option<PathBuf>> {
        match self {
            Self::Python(_) if !shell::exists("python3") => {
                skip(&format!("{name}: python3 is not here. Install python3 and python3-venv"))
            }
            Self::Python(packages) => once(name, packages, |folder| {
                shell::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
                let mut pip = Command::new(folder.join("bin/pip"));
                shell::run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages))
            }),
            Self::Node(_) if !shell::exists("node") || !shell::exists("npm") => {
                skip(&format!("{name}: node and npm are not here. Install Node 20 or newer"))
            }
            Self::Node(packages) => once(name, packages, |folder| {
                let mut npm = Command::new("npm");
                npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
                shell::run(npm.arg("--save-exact").arg("--prefix").arg(folder).args(packages))
            }),
            Self::Debian { names, files } => {
                if !are_here(files) {
                    drop(apt(names));
                }
                if are_here(files) {
                    return Ok(Some(PathBuf::from("/")));
                }
                skip(&format!("{name}: run `apt-get install {}`", names.join(" ")))
            }
        }
    }

    /// Pins that determine the versions.
    pub(crate) fn pins(self) -> &'static [&'static str] {
        match self {
            Self::Python(packages) | Self::Node(packages) => packages,
            // The versions of the system's release.
            Self::Debian { .. } => &[],
        }
    }
}

/// Installations in the background, kinds in parallel.
pub(crate) struct Installing {
    debian: JoinHandle<Outcome<Toolchain>>,
    others: Vec<JoinHandle<Outcome<()>>>,
}

impl Installing {
    /// Starts to install everything, including the toolchain for guests.
    pub(crate) fn start(all: Vec<(&'static str, Packages)>) -> Self {
        let (debian, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, packages)| matches!(packages, Packages::Debian { .. }));
        let (node, python): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(_, packages)| matches!(packages, Packages::Node(_)));
        let install = |these: Vec<(&'static str, Packages)>| {
            std::thread::spawn(move || {
                these.into_iter().try_for_each(|(name, packages)| packages.install(name).map(drop))
            })
        };
        let debian = std::thread::spawn(move || {
            let toolchain = guests::toolchain()?;
            // In one command, which shares most of the work.
            let missing = debian.iter().filter_map(|(_, packages)| match packages {
                Packages::Debian { names, files } if !are_here(files) => Some(*names),
                Packages::Debian { .. } | Packages::Python(_) | Packages::Node(_) => None,
            });
            let missing: Vec<&str> = missing.flatten().copied().collect();
            if !missing.is_empty() {
                drop(apt(&missing));
            }
            debian.into_iter().try_for_each(|(name, packages)| packages.install(name).map(drop))?;
            Ok(toolchain)
        });
        Self { debian, others: vec![install(node), install(python)] }
    }

    /// Waits for all installations.
    pub(crate) fn wait(self) -> Outcome<Toolchain> {
        let ended = |_| "an installation panicked".to_owned();
        let toolchain = self.debian.join().map_err(ended)??;
        for other in self.others {
            other.join().map_err(ended)??;
        }
        Ok(toolchain)
    }
}

fn are_here(files: &[&str]) -> bool {
    files.iter().all(|file| Path::new(file).exists())
}

/// Installs Debian packages if that is permitted.
pub(crate) fn apt(packages: &[&str]) -> Outcome<()> {
    if !shell::may_install() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("run `apt-get install {}`", packages.join(" ")));
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
        apt.stdout(Stdio::null());
        apt
    };
    shell::run(apt().arg("update"))?;
    shell::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

/// Reports a skipped package. In CI it is an error.
pub(crate) fn skip<T>(why: &str) -> Outcome<Option<T>> {
    if shell::is_ci() {
        return Err(why.to_owned());
    }
    eprintln!("skipping: {why}");
    Ok(None)
}

fn once(
    name: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Outcome<()>,
) -> Outcome<Option<PathBuf>> {
    let folder = shell::target()?.join("peers").join(name);
    let stamp = folder.join("packages");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(Some(folder));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    // Leftovers of other pins or of an interrupted installation.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    if let Err(why) = install(&folder) {
        return skip(&format!("{name}: {} could not be installed: {why}", packages.join(" ")));
    }
    std::fs::write(&stamp, wanted).map_err(failed)?;
    Ok(Some(folder))
}
