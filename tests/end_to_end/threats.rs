//! docs/THREAT_MODEL.md names tests that exist, and every table of the database.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/THREAT_MODEL.md")).unwrap()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every source below a folder: the words of its path, and its text.
fn sources(folder: &Path, found: &mut Vec<(BTreeSet<String>, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !name.starts_with("target") && name != "node_modules" {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            let words = path.strip_prefix(root()).unwrap().with_extension("");
            let words = words.iter().map(|word| word.to_str().unwrap().to_owned()).collect();
            found.push((words, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// `file::function`: the function is a test in a file or folder of that name.
fn is_a_test(name: &str, sources: &[(BTreeSet<String>, String)]) -> bool {
    let mut modules: Vec<&str> = name.split("::").collect();
    let head = format!("fn {}(", modules.pop().unwrap());
    sources.iter().any(|(words, text)| {
        let before = |at: usize| text[..at].rsplit('\n').skip(1).take_while(|line| line.contains("#["));
        modules.iter().all(|module| words.contains(*module))
            && text.match_indices(&head).any(|(at, _)| before(at).any(|line| line.contains("test")))
    })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let (page, mut found) = (page(), Vec::new());
    for folder in ["gateway", "tests", "certs"] {
        sources(&root().join(folder), &mut found);
    }
    let names: BTreeSet<&str> =
        quoted(&page).filter(|name| name.contains("::") && *name != "file::function").collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 100, "the page names tests: {}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !is_a_test(name, &found)).collect();
    assert!(missing.is_empty(), "docs/THREAT_MODEL.md names tests that are not there: {missing:#?}");
}

/// Each defence has a test or a script; what has none names its gap, and that stands in the list of gaps.
#[test]
fn every_row_has_its_test_or_its_gap() {
    let page = page();
    let gaps: Vec<&str> = page.lines().filter(|line| line.starts_with("| **G")).collect();
    let (mut shown, mut rows, mut used) = (false, 0, BTreeSet::new());
    for line in page.lines() {
        if !line.starts_with('|') {
            shown = false;
        } else if line.ends_with("| fails without it |") {
            shown = true;
        } else if shown && !line.starts_with("|---") {
            let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let scripts = quoted(last).filter(|name| !name.contains("::")).collect::<Vec<_>>();
            assert!(scripts.iter().all(|script| root().join(script).is_file()), "no such script: {last}");
            let named = last.split("**").skip(1).step_by(2).collect::<Vec<_>>();
            assert!(!named.is_empty() || last.contains('`'), "neither test nor gap: {line}");
            used.extend(named.into_iter().map(|gap| format!("| **{gap}** |")));
            rows += 1;
        }
    }
    assert!(rows > 80, "the page has rows: {rows}");
    for gap in &used {
        assert!(gaps.iter().any(|line| line.starts_with(gap.as_str())), "no such gap: {gap}");
    }
}

/// A new table has a row that says what write access to it gains.
#[test]
fn every_table_of_the_database_is_on_the_page() {
    let page = page();
    let stores = page.split("## By store").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = quoted(stores).collect();
    let mut tables = BTreeSet::new();
    for folder in ["sqlite", "sqlite_keys"] {
        let folder = root().join("gateway/server/src/store/migrations").join(folder);
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            for line in text.lines() {
                match line.trim_end_matches([';', '(']).split_whitespace().collect::<Vec<_>>()[..] {
                    ["CREATE", "TABLE", name] => assert!(tables.insert(name.to_owned()), "{name}"),
                    ["DROP", "TABLE", name] => assert!(tables.remove(name), "{name}"),
                    ["ALTER", "TABLE", from, "RENAME", "TO", to] => {
                        assert!(tables.remove(from) && tables.insert(to.to_owned()), "{from}");
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(tables.len() > 25, "the test must see tables: {tables:?}");
    let missing: Vec<&String> = tables.iter().filter(|table| !named.contains(table.as_str())).collect();
    assert!(missing.is_empty(), "docs/THREAT_MODEL.md does not say what write access gains: {missing:?}");
}
