//! The files of one directory by what their names say.

use std::collections::HashMap;

use super::name::Name;

/// File names, so indexed that the few that belong to a file are found without looking at all.
#[derive(Debug, Default)]
pub struct Names {
    /// The least specific first: by the number of entities, then by name.
    files: Vec<File>,
    by_name: HashMap<String, usize>,
    /// By suffix, then by what [`bucket`] says, each in the order of `files`.
    by_suffix: HashMap<String, HashMap<String, Vec<usize>>>,
}

/// One name.
#[derive(Debug)]
pub struct File {
    pub name: String,
    /// Its entities; none where it is not BIDS-like.
    pub pairs: Vec<(&'static str, String)>,
}

impl File {
    pub fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(k, _)| *k == key)?;
        Some(value)
    }
}

impl Names {
    pub fn new(names: impl Iterator<Item = String>) -> Self {
        let mut parsed = vec![];
        for name in names {
            let known = Name::parse(&name).map(|parsed| {
                let owned = |(key, value): &(&'static str, &str)| (*key, (*value).to_owned());
                let pairs: Vec<_> = parsed.pairs.iter().map(owned).collect();
                (parsed.suffix.to_owned(), pairs)
            });
            let (suffix, pairs) = match known {
                Some((suffix, pairs)) => (Some(suffix), pairs),
                None => (None, vec![]),
            };
            parsed.push((suffix, File { name, pairs }));
        }
        parsed.sort_by(|(_, a), (_, b)| {
            (a.pairs.len(), a.name.as_str()).cmp(&(b.pairs.len(), b.name.as_str()))
        });
        let mut names = Self::default();
        for (index, (suffix, file)) in parsed.into_iter().enumerate() {
            if let Some(suffix) = suffix {
                let of_suffix = names.by_suffix.entry(suffix).or_default();
                let bucket = bucket(DISTINCT.map(|key| file.value(key)));
                of_suffix.entry(bucket).or_default().push(index);
            }
            names.by_name.insert(file.name.clone(), index);
            names.files.push(file);
        }
        names
    }

    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The place of a name in this directory's order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Names with this suffix whose subject, task and run, as far as they have them, are those of
    /// `file`, run-1 and run-01 alike. The least specific first.
    pub fn with_suffix(&self, suffix: &str, file: &Name) -> Vec<&File> {
        let positions = self.positions(suffix, file);
        positions.into_iter().map(|i| &self.files[i]).collect()
    }

    /// The JSON files that describe a file of this name: those with its suffix whose entities
    /// are among its own. The least specific first.
    pub fn describing(&self, file: &Name) -> Vec<&File> {
        let positions = self.positions_describing(file);
        positions.into_iter().map(|i| &self.files[i]).collect()
    }

    pub fn positions_describing(&self, file: &Name) -> Vec<usize> {
        let describes = |json: &File| {
            let has = |(key, value): &(&'static str, String)| file.value(key) == Some(value);
            json.name.ends_with(".json") && json.pairs.iter().all(has)
        };
        let mut found = self.positions(file.suffix, file);
        found.retain(|&i| describes(&self.files[i]));
        found
    }

    fn positions(&self, suffix: &str, file: &Name) -> Vec<usize> {
        let Some(of_suffix) = self.by_suffix.get(suffix) else {
            return vec![];
        };
        let own = DISTINCT.map(|key| file.value(key));
        let mut found: Vec<usize> = vec![];
        // Each of the three there or missing.
        for chosen in 0..1 << own.len() {
            let is_chosen = |i: usize| chosen & (1 << i) != 0;
            if (0..own.len()).any(|i| is_chosen(i) && own[i].is_none()) {
                continue;
            }
            let some = [0, 1, 2].map(|i| own[i].filter(|_| is_chosen(i)));
            found.extend(of_suffix.get(&bucket(some)).into_iter().flatten());
        }
        // Each list is in order, but not all in a row.
        found.sort_unstable();
        found
    }
}

/// The entities that tell most files of one directory apart.
const DISTINCT: [&str; 3] = ["sub", "task", "run"];

/// Their values as one text; the run without the zeros before its number.
fn bucket([subject, task, run]: [Option<&str>; 3]) -> String {
    let run = match run.map(|run| run.trim_start_matches('0')) {
        None => "",
        Some("") => "0",
        Some(number) => number,
    };
    let (subject, task) = (subject.unwrap_or_default(), task.unwrap_or_default());
    format!("{subject}_{task}_{run}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_belong_to_a_file() {
        let names = [
            "sub-1_task-x_run-01_bold.json",
            "sub-1_task-x_run-1_events.tsv",
            "sub-1_task-x_run-00_bold.json",
            "sub-1_task-x_run-2_bold.json",
            "task-x_bold.json",
            "run-1_bold.json",
            "bold.json",
            "sub-2_bold.json",
            "other.json",
            "sub-1_task-x_run-1_space-y_bold.nii",
        ];
        let names = Names::new(names.into_iter().map(String::from));
        let found = |file: &str| {
            let file = Name::parse(file).unwrap();
            let found = names.with_suffix(file.suffix, &file).into_iter();
            found.map(|f| f.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(
            found("sub-1_task-x_run-1_bold.nii"),
            [
                "bold.json",
                "run-1_bold.json",
                "task-x_bold.json",
                "sub-1_task-x_run-01_bold.json",
                "sub-1_task-x_run-1_space-y_bold.nii",
            ]
        );
        assert_eq!(found("sub-2_bold.nii"), ["bold.json", "sub-2_bold.json"]);
        let zero = found("sub-1_task-x_run-0_bold.nii");
        assert_eq!(zero.last(), Some(&"sub-1_task-x_run-00_bold.json"));
        let file = Name::parse("sub-1_task-x_run-1_bold.nii").unwrap();
        let describing = names.describing(&file).into_iter();
        assert_eq!(
            describing.map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["bold.json", "run-1_bold.json", "task-x_bold.json"]
        );
        assert_eq!(names.position("other.json"), Some(1));
    }
}
