//! Every example is applied, with the command line tool, as its reader would.

use std::path::Path;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn every_example_goes_live_and_away_again() {
    let platform = Platform::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut applied = 0;
    for entry in std::fs::read_dir(folder).expect("examples/").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = path.display().to_string();
        let output = platform.margrave(&["apply", "-f", &file]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
        assert!(said.contains("live on 1/1 proxies"), "{file}: {said}");

        let again = platform.margrave(&["apply", "-f", &file]).await;
        assert!(again.status.success(), "{file}, applied again: {again:?}");

        let text = std::fs::read_to_string(&path).expect("readable");
        let service = text
            .lines()
            .find_map(|l| l.strip_prefix("service:"))
            .expect("a service")
            .trim()
            .to_owned();
        for command in [vec!["status", &service], vec!["render", &service], vec!["list"]] {
            let output = platform.margrave(&command).await;
            assert!(output.status.success(), "{command:?}: {output:?}");
            assert!(
                String::from_utf8_lossy(&output.stdout).contains(&service),
                "{command:?}: {output:?}"
            );
        }
        let gone = platform.margrave(&["delete", &service, "--yes"]).await;
        assert!(gone.status.success(), "{file}: {gone:?}");
        applied += 1;
    }
    assert!(applied >= 3, "only {applied} examples were found");
}
