//! A backup and the way back, from the command line.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Dev, command};

fn run(state: &Path, line: &str) -> Output {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    command(state, &arguments).current_dir(state).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that succeeds prints.
fn said(state: &Path, line: &str) -> String {
    let output = run(state, line);
    assert!(output.status.success(), "margrave {line}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn apply(state: &Path, service: &str, port: u16) {
    let descriptor = format!("service: {service}\nupstream: http://localhost:{port}\n");
    std::fs::write(state.join("margrave.yaml"), descriptor).expect("written");
    said(state, "apply");
}

fn services(state: &Path) -> Vec<String> {
    let listed: Value = serde_json::from_str(&said(state, "list -o json")).expect("JSON");
    let name = |instance: &Value| instance["service"].as_str().expect("a name").to_owned();
    listed.as_array().expect("a list").iter().map(name).collect()
}

/// Two of each that lets somebody in; the binding that will be unbound.
fn let_in(state: &Path) -> String {
    for name in ["ci", "other"] {
        said(state, &format!("token create --team default --name {name}"));
        said(state, &format!("platform create {name}-platform"));
    }
    let bound = said(state, "bind shop --credential shop.key -o json");
    let bound: Value = serde_json::from_str(&bound).expect("JSON");
    said(state, "bind shop --credential kept.key");
    bound["binding"].as_str().expect("an id").to_owned()
}

/// The one of each that was ended after the backup, and not the other.
fn tells_who_is_in_again(words: &str, binding: &str) {
    let again = words.split("good again; end it once more:\n").nth(1).expect("it is told");
    let again: Vec<&str> = again.lines().take_while(|line| !line.is_empty()).collect();
    let unbind = format!("  binding of shop: `margrave unbind {binding} shop --team default`");
    let rotate = "  platform ci-platform, with its password of that day: `margrave platform rotate \
                  ci-platform --overlap 0s`, or `delete`";
    assert_eq!(again, ["  token ci: `margrave token revoke ci`", rotate, &unbind], "{words}");
}

/// What somebody has laid there for the backup is not what it is written to.
fn is_backed_up(state: &Path) {
    let laid = state.join("yesterday.backup.part");
    std::fs::write(&laid, "").expect("written");
    std::fs::set_permissions(&laid, std::fs::Permissions::from_mode(0o666)).expect("written");
    let made = said(state, "backup yesterday.backup");
    assert!(made.starts_with("yesterday.backup: 2 instances as of 20"), "{made}");
    let mode = std::fs::metadata(state.join("yesterday.backup"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = run(state, "backup yesterday.backup");
    assert_eq!(again.status.code(), Some(64), "{}", text(&again.stderr));
}

/// One of each kind is made, changed, deleted or ended.
fn goes_on(state: &Path, binding: &str) {
    apply(state, "shop", 3001);
    apply(state, "new", 3000);
    said(state, "delete blog --yes");
    said(state, "token revoke ci");
    said(state, "platform rotate ci-platform");
    said(state, &format!("unbind {binding} shop"));
}

fn tells_what_was_done_since(words: &str, binding: &str) {
    for (what, service) in
        [("made since the backup", "new"), ("changed since", "shop"), ("deleted since", "blog")]
    {
        let listed = words.split(what).nth(1).unwrap_or_else(|| panic!("{what}: {words}"));
        let line = listed.lines().nth(1).unwrap_or_default();
        assert!(line.starts_with(&format!("  {service} of default (")), "{what}: {words}");
    }
    assert!(words.contains("epoch 2"), "{words}");
    tells_who_is_in_again(words, binding);
}

/// By the audit log, which goes on from the backup's.
fn was_restored_once(state: &Path) {
    let log: Value = serde_json::from_str(&said(state, "audit list -o json")).expect("JSON");
    let log = log.as_array().expect("a list");
    let restores: Vec<_> =
        log.iter().filter(|line| line["entry"]["action"] == "platform.restore").collect();
    assert_eq!(restores.len(), 1, "{log:?}");
    assert_eq!(restores[0]["entry"]["detail"]["epoch"], 2);
    said(state, "audit verify");
}

#[test]
fn yesterday_comes_back_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let start = || Dev::start(&state, &["--envoy", "none"]);
    let dev = start();
    apply(&state, "shop", 3000);
    apply(&state, "blog", 3000);
    let binding = let_in(&state);
    is_backed_up(&state);
    goes_on(&state, &binding);
    let in_use = run(&state, "restore yesterday.backup --replace");
    assert_eq!(in_use.status.code(), Some(1), "{}", text(&in_use.stderr));
    assert!(text(&in_use.stderr).contains("in use by another"), "{}", text(&in_use.stderr));
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));
    said(&state, "backup today.backup --offline");

    let kept = run(&state, "restore yesterday.backup");
    assert_eq!(kept.status.code(), Some(3));
    assert!(text(&kept.stderr).contains("--replace"), "{}", text(&kept.stderr));
    let words = said(&state, "restore yesterday.backup --replace");
    tells_what_was_done_since(&words, &binding);

    let dev = start();
    assert_eq!(services(&state), ["blog", "shop"]);
    was_restored_once(&state);
    apply(&state, "later", 3000);
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));

    // The other way, to a folder of its own, for programs.
    let other = folder.path().join("other");
    let backup = state.join("today.backup");
    let brought = said(&other_command(&other), &format!("restore {} -o json", backup.display()));
    let brought: Value = serde_json::from_str(&brought).expect("JSON");
    assert_eq!((&brought["epoch"], &brought["compared"]), (&2.into(), &false.into()));
    // Its keys are not in it, as no passphrase was given.
    std::fs::copy(state.join("keys.json"), other.join("keys.json")).expect("copied");
    let dev = Dev::start(&other, &["--envoy", "none"]);
    assert_eq!(services(&other), ["new", "shop"]);
    drop(dev);
    std::fs::write(&backup, "margrave-backup 1\n{").unwrap();
    assert_eq!(run(&other, &format!("restore {}", backup.display())).status.code(), Some(3));
}

/// The folder, which is made first: a command is run in it.
fn other_command(folder: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(folder).expect("made");
    folder.to_owned()
}

/// The private key of the binding `ci`, as it is given again: it is opened for that.
fn credential(state: &Path, file: &str) -> String {
    said(state, &format!("bind shop --id ci --credential {file}"));
    let told: Value =
        serde_json::from_slice(&std::fs::read(state.join(file)).expect("read")).expect("JSON");
    told["private_key"]["d"].as_str().expect("a key").to_owned()
}

fn keys(state: &Path, verb: &str) -> Vec<String> {
    let ring: Value =
        serde_json::from_str(&said(state, &format!("keys {verb} -o json"))).expect("JSON");
    let ids = ring["keys"].as_array().expect("a list").iter();
    ids.map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn keys_are_rotated_after_a_restore_that_went_back_before_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let start = || Dev::start(&state, &["--envoy", "none"]);
    let wrapped = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut command = command(&state, &arguments);
        command.current_dir(&state).env("MARGRAVE_BACKUP_PASSPHRASE", "correct horse battery");
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "margrave {line}: {}", text(&output.stderr));
    };
    let dev = start();
    apply(&state, "shop", 3000);
    let of_then = credential(&state, "1.key");
    let first = keys(&state, "list");
    wrapped("backup yesterday.backup");
    let second = keys(&state, "rotate");
    said(&state, "bind shop --id later --credential later.key");
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));

    wrapped("restore yesterday.backup --replace");
    let dev = start();
    assert_eq!(keys(&state, "list"), first, "those of the backup");
    assert_eq!(credential(&state, "2.key"), of_then);
    let third = keys(&state, "rotate");
    assert!(third.len() == 1 && third != first && third != second, "{third:?}");
    assert_eq!(credential(&state, "3.key"), of_then, "sealed anew, and the same");
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));
    let dev = start();
    assert_eq!((keys(&state, "list"), credential(&state, "4.key")), (third, of_then));
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));

    // Without the passphrase the keys of the backup are not to be had, and the folder's are later ones.
    let brought = said(&state, "restore yesterday.backup --replace");
    let needs = format!("sealed with the key {}", first[0]);
    assert!(brought.contains(&needs), "{brought}");
}
