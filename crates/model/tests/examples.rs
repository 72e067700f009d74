//! Every example is a good descriptor, and reads back from its canonical JSON.

use std::fs;
use std::path::Path;

use model::{Descriptor, Parameters};

#[test]
fn every_example_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let file = path.display().to_string();
        let descriptor = Descriptor::from_yaml(&text)
            .unwrap_or_else(|r| panic!("{}", model::descriptor::show(&r, &file, &text)));
        let canonical = descriptor.to_json().to_string();
        assert_eq!(Descriptor::from_yaml(&canonical), Ok(descriptor.clone()), "{file}");
        let parameters = descriptor.parameters.to_json().to_string();
        assert_eq!(Parameters::from_json(&parameters), Ok(descriptor.parameters), "{file}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen}");
}
