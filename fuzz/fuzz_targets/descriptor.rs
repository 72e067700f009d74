//! Any text as a descriptor, as YAML and as JSON: it is read or refused with words, and what was
//! read comes back the same from its canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::descriptor::show;
use model::{Descriptor, Parameters};

fuzz_target!(|text: &str| {
    match Descriptor::from_yaml(text) {
        Ok(descriptor) => comes_back(&descriptor.parameters),
        Err(refusals) => {
            assert!(!refusals.is_empty(), "refused without a word");
            assert!(!show(&refusals, "margrave.yaml", text).is_empty());
        }
    }
    if let Ok(parameters) = Parameters::from_json(text) {
        comes_back(&parameters);
    }
});

fn comes_back(parameters: &Parameters) {
    let text = parameters.to_json().to_string();
    let again = Parameters::from_json(&text).expect("what was read can be read again");
    assert_eq!(again, *parameters);
}
