//! `ferrolb validate` as its users see it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use ferrolb::cli::cluster::Cluster;
use ferrolb::cli::plan::Output;
use ferrolb::cli::validate::{Args, Report, run};
use ferrolb::parse;
use ferrolb::source::files;
use serde_json::json;
use tempfile::TempDir;

const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: main\n";

fn directory(text: &str) -> io::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("given.yaml"), text)?;
    Ok(directory)
}

fn report(path: &Path) -> Report {
    let reading = files::read(path);
    Report::of(&reading, &parse::facts(&reading.objects))
}

/// What is printed for people, without the name of the directory.
fn text(yaml: &str) -> io::Result<String> {
    let directory = directory(yaml)?;
    let text = report(directory.path()).text(false);
    Ok(text.replace(&format!("{}/", directory.path().display()), ""))
}

fn exit_code(filename: PathBuf) -> Option<ExitCode> {
    let (filename, cluster) = (vec![filename], Cluster::default());
    run(&Args { filename, cluster, bgp_type: None, output: Output::Json }).ok()
}

/// `directory` and all below it.
fn all_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(all_below(&path)?);
        }
    }
    Ok(found)
}

#[test]
fn what_we_ship_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for shipped in ["examples", "deploy"] {
        for directory in all_below(&root.join(shipped)).unwrap() {
            let report = report(&directory);
            assert_eq!(report.problems, [], "{}", directory.display());
            assert_eq!(exit_code(directory), Some(ExitCode::SUCCESS));
        }
    }
}

#[test]
fn the_exit_code_tells_rejected_from_unreadable() {
    let good = directory(&format!("{POOL}spec: {{addresses: [192.0.2.0/24]}}\n")).unwrap();
    assert_eq!(exit_code(good.path().to_owned()), Some(ExitCode::SUCCESS));
    assert_eq!(exit_code(good.path().join("given.yaml")), Some(ExitCode::SUCCESS));
    let bad = directory(&format!("{POOL}spec: {{addresses: [192.0.2.0]}}\n")).unwrap();
    assert_eq!(exit_code(bad.path().to_owned()), Some(ExitCode::from(1)));
    let broken = directory("spec: [").unwrap();
    assert_eq!(exit_code(broken.path().to_owned()), Some(ExitCode::from(1)));
    assert_eq!(exit_code(good.path().join("no-such-file.yaml")), Some(ExitCode::from(2)));
    fs::write(good.path().join("binary.yaml"), [0xff, 0xfe, 0xff]).unwrap();
    assert_eq!(exit_code(good.path().to_owned()), Some(ExitCode::from(2)), "not text");
}

#[test]
fn json_has_exactly_the_documented_form() {
    let yaml = format!("{POOL}spec: {{addresses: [192.0.2.0/24], autoAsign: no}}\n");
    let bad = "---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\n\
               metadata: {name: tor, namespace: net}\nspec: {myASN: 64512, peerASN: x}\n";
    let directory = directory(&(yaml + bad)).unwrap();
    let found = serde_json::to_value(report(directory.path())).unwrap();
    let want = json!({
        "problems": [{
            "object": "BGPPeer/net/tor",
            "field": "spec.peerASN",
            "message": "invalid type: string \"x\", expected u32",
            "help": null,
        }],
        "warnings": [
            {
                "object": "IPAddressPool/default/main",
                "field": "spec.autoAsign",
                "message": "the kind has no such field, it is ignored",
                "help": "check how it is written, or remove it",
            },
            {
                "object": "IPAddressPool/default/main",
                "field": "",
                "message": "neither an L2Advertisement nor a BGPAdvertisement selects the pool, so \
                            its addresses are not announced",
                "help": "add an L2Advertisement or a BGPAdvertisement that names it",
            },
        ],
    });
    assert_eq!(found, want);
}

#[test]
fn a_slip_in_yaml_is_a_problem_of_the_file() {
    let directory = directory("metadata: {name: [a}\n").unwrap();
    let report = report(directory.path());
    let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
    assert!(problem.object.ends_with("given.yaml"), "{problem:?}");
    assert!(problem.message.starts_with("mismatched bracket"), "{problem:?}");
    assert!(!problem.message.contains('\n'), "{problem:?}");
    assert!(report.text(false).contains("1 | metadata: {name: [a}"), "{}", report.text(false));
}

#[test]
fn each_problem_is_shown_where_it_is_written() {
    let spec = "spec:\n  addresses:\n  - 192.0.2.0/24\n  - 192.0.2.9-192.0.2.1\n";
    let want = "\
error: `192.0.2.9-192.0.2.1` ends before it starts
 --> given.yaml:8:5
  |
8 |   - 192.0.2.9-192.0.2.1
  |     ^^^^^^^^^^^^^^^^^^^ spec.addresses[1] of IPAddressPool/default/main
  |
  = help: write the lower address first

1 problem and no warnings in 1 object
";
    assert_eq!(text(&format!("{POOL}{spec}")).unwrap(), want);
}

#[test]
fn a_field_that_is_missing_is_shown_at_what_it_would_be_in() {
    let want = "\
error: missing peer ASN and dynamicASN
 --> given.yaml:5:1
  |
5 | spec: {myASN: 64512, peerAddress: 192.0.2.1, password: *********}
  | ^^^^ spec.peerASN of BGPPeer/net/tor
  |
  = help: write the router's AS number, or `dynamicASN: external`
";
    let peer = "---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\n\
                metadata: {name: tor, namespace: net}\n\
                spec: {myASN: 64512, peerAddress: 192.0.2.1, password: swordfish}\n";
    let text = text(peer).unwrap();
    assert!(text.starts_with(want), "{text}");
}

#[test]
fn a_secret_in_a_broken_file_is_not_shown() {
    let text = text("kind: Secret\nstringData: {password: swordfish\n").unwrap();
    assert!(text.contains("given.yaml:"), "{text}");
    assert!(!text.contains("swordfish"), "{text}");
}

#[test]
fn kinds_of_others_are_ignored_and_those_that_we_do_not_have_are_not() {
    let rows = [
        ("apps/v1", "Deployment", None),
        ("metallb.io/v1beta1", "ServiceL2Status", None),
        ("metallb.io/v1beta1", "IPAdressPool", Some("metallb.io/v1beta1 IPAdressPool")),
        ("metallb.io/v1beta2", "IPAddressPool", Some("metallb.io/v1beta2 IPAddressPool")),
    ];
    for (version, kind, want) in rows {
        let yaml = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n");
        let report = report(directory(&yaml).unwrap().path());
        assert_eq!(report.warnings, [], "{kind}");
        let found = report.problems.first().map(|problem| problem.object.as_str());
        assert_eq!(found, want, "{kind}");
    }
}
