//! The programs under test: where they are, and how they come to be.
//!
//! In: a cargo profile, or a directory from outside. Out: paths of binaries. Never: a binary of another tree.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Failed;

/// Where the binaries are, and whether worlds are made with a weak proof of work.
#[derive(Clone, Debug)]
pub struct Programs {
    dir: PathBuf,
}

/// How the binaries are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As the tests are.
    Dev,
    /// As people run them.
    Release,
}

impl Programs {
    /// Builds the binaries of this workspace and says where they are. `ZT_BIN_DIR` gives a directory
    /// with binaries that are already there, for example of a package under test.
    ///
    /// # Errors
    /// When they do not build.
    pub fn build(profile: Profile) -> Result<Self, Failed> {
        if let Some(dir) = std::env::var_os("ZT_BIN_DIR") {
            return Self::at(PathBuf::from(dir));
        }
        let mut command = cargo();
        command.args(["build", "--bins"]);
        match profile {
            // The whole workspace: with fewer packages cargo would choose other features and compile much again.
            Profile::Dev => {
                command.arg("--workspace");
            }
            Profile::Release => {
                command.arg("--release");
                for (package, _) in PROGRAMS {
                    command.args(["-p", package]);
                }
            }
        }
        // Cargo shows its own progress; stdout stays for results.
        let status = command.stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err(Failed::new("the programs do not build"));
        }
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        Self::at(target_directory()?.join(folder))
    }

    /// The binaries in a directory.
    ///
    /// # Errors
    /// When one is missing.
    pub fn at(dir: PathBuf) -> Result<Self, Failed> {
        for (_, program) in PROGRAMS {
            if !dir.join(program).exists() {
                return Err(Failed::new(format!("no {program} in {}", dir.display())));
            }
        }
        Ok(Self { dir })
    }

    /// `zt-node`.
    pub fn node(&self) -> PathBuf {
        self.dir.join("zt-node")
    }

    /// `zt-supernode`.
    pub fn supernode(&self) -> PathBuf {
        self.dir.join("zt-supernode")
    }

    /// `zt-netconf-master`.
    pub fn master(&self) -> PathBuf {
        self.dir.join("zt-netconf-master")
    }

    /// `zt-cli`.
    pub fn cli(&self) -> PathBuf {
        self.dir.join("zt-cli")
    }
}

/// Cargo in the root of this workspace, without what the cargo that runs us left in the environment.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let leftover = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if leftover {
            command.env_remove(&name);
        }
    }
    command
}

/// The root of the workspace that this lab was built from.
pub fn root() -> &'static Path {
    // tests/lab has two parents in every checkout.
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What `cargo metadata` says about the workspace and its dependencies.
///
/// # Errors
/// When cargo fails.
pub fn metadata() -> Result<serde_json::Value, Failed> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout)?);
    }
    let output = cargo()
        .args(["metadata", "--format-version", "1"])
        .output()?;
    if !output.status.success() {
        return Err(Failed::new(String::from_utf8_lossy(&output.stderr)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Where cargo puts what it builds.
///
/// # Errors
/// When cargo fails.
pub fn target_directory() -> Result<PathBuf, Failed> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failed::new("cargo does not say where it builds"))
}

/// Packages and the program that each makes.
const PROGRAMS: [(&str, &str); 4] = [
    ("zt-node", "zt-node"),
    ("zt-supernode", "zt-supernode"),
    ("zt-netconf-master", "zt-netconf-master"),
    ("zt-cli", "zt-cli"),
];
