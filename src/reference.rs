//! The SQL reference, `docs/sql-reference.md`, from what the functions and readers say
//! of themselves. `UPDATE=1 cargo test --release --test suite reference` writes it anew.

use std::fmt::Write;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::Documentation;
use datafusion::prelude::SessionContext;

use crate::readers::bids::arguments;
use crate::readers::call::usage;
use crate::readers::format::{BidsUse, Format, ParameterKind};
use crate::{align, asof, models, readers, search, statements};

/// The sections of functions, in the order of the reference.
const SECTIONS: [&str; 8] = [
    "Time Functions",
    "Vector Functions",
    "Response Functions",
    "Signal Functions",
    "Audio Functions",
    "Video Functions",
    "Text Functions",
    "Brain Functions",
];

const HEAD: &str = "\
# SQL reference

What VoxQL adds to [DataFusion's SQL](https://datafusion.apache.org/user-guide/sql/index.html).
This page is generated from the functions' own documentation; a test fails when it is stale.

Arguments may be named, `tr => 1.49`, and those after the required ones may be left out.
Vectors are `FixedSizeList<Float32, N>` columns where every row has the same length, and
`List<Float32>` columns otherwise; functions take lists of any number type.

";

const TR_GRID: &str = "\
### `tr_grid`

```sql
tr_grid(n => …, tr => … [, start => 0] [, slice_time_ref => 0])
```

The empty grid as a table: columns `tr` (0 to n - 1) and `time` (`start + tr * TR` in
seconds, exact as `tr_time` has it). Left join onto it, and TRs without data show as NULL.

```sql
SELECT g.tr, g.time, b.mel
FROM tr_grid(n => 300, tr => 1.49) AS g LEFT JOIN binned AS b ON b.tr = g.tr;
```

";

/// The page. The context is one in which a session registered its functions.
pub fn markdown(context: &SessionContext) -> String {
    let mut page = HEAD.to_string();
    page.push_str(statements::documentation::DOCUMENTATION);
    page.push_str(align::documentation::DOCUMENTATION);
    page.push_str("## Readers\n\n");
    page.push_str(readers::documentation::DOCUMENTATION);
    for format in readers::formats() {
        reader(&mut page, format.as_ref());
    }
    let functions = documented(context);
    for section in SECTIONS {
        let mut of_section = functions
            .iter()
            .filter(|f| f.documentation.doc_section.label == section);
        let Some(first) = of_section.next() else {
            continue;
        };
        put(&mut page, format_args!("## {section}\n\n"));
        for of_tables in table_functions(section) {
            page.push_str(of_tables);
        }
        for of_section in [first].into_iter().chain(of_section) {
            function(&mut page, of_section);
        }
    }
    page.push_str("## Search Functions\n\n");
    page.push_str(search::documentation::DOCUMENTATION);
    page
}

/// What a section says of table functions and joins, which carry no documentation of their own.
fn table_functions(section: &str) -> &'static [&'static str] {
    match section {
        "Time Functions" => &[TR_GRID, asof::documentation::DOCUMENTATION],
        "Response Functions" => &[statements::design_matrix::documentation::DOCUMENTATION],
        "Text Functions" => &[statements::word_timing_report::documentation::DOCUMENTATION],
        "Brain Functions" => &[
            statements::encoding_scores::documentation::DOCUMENTATION,
            models::documentation::DOCUMENTATION,
            statements::judging::documentation::DOCUMENTATION,
        ],
        _ => &[],
    }
}

fn reader(page: &mut String, format: &dyn Format) {
    let function = format.function();
    put(
        page,
        format_args!("### `{function}`\n\n```sql\n{}", usage(format)),
    );
    put(
        page,
        format_args!("\nSTORED AS {}\n```\n\n", format.stored_as()),
    );
    put(page, format_args!("{}\n\n", format.description()));
    let knows_bids = format.bids() != BidsUse::Nothing;
    let has_options = knows_bids || !format.parameters().is_empty();
    if has_options {
        page.push_str("| option | type | default | |\n| --- | --- | --- | --- |\n");
    }
    let of_bids = knows_bids.then_some(&arguments::DERIVATIVES);
    for parameter in format.parameters().iter().chain(of_bids) {
        let kind = match parameter.kind {
            ParameterKind::Float => "number",
            ParameterKind::Integer => "whole number",
            ParameterKind::IntegerOrBoolean => "whole number or boolean",
            ParameterKind::Text => "text",
            ParameterKind::Boolean => "boolean",
            ParameterKind::Floats => "number or array of numbers",
            ParameterKind::Texts => "text or array of texts",
        };
        let cells = (parameter.name, parameter.default, parameter.description);
        put(
            page,
            format_args!("| `{}` | {kind} | {} | {} |\n", cells.0, cells.1, cells.2),
        );
    }
    if knows_bids {
        put(
            page,
            format_args!(
                "| {} | text or array of texts | all | {} |\n",
                arguments::NAMES,
                arguments::DESCRIPTION
            ),
        );
    }
    if has_options {
        page.push('\n');
    }
    let endings: Vec<_> = format
        .extensions()
        .iter()
        .map(|e| format!("`{e}`"))
        .collect();
    if endings.is_empty() {
        return;
    }
    put(
        page,
        format_args!("A directory is searched for {}.\n\n", endings.join(", ")),
    );
}

fn function(page: &mut String, function: &Documented) {
    let Documented {
        name,
        kind,
        aliases,
        documentation,
    } = function;
    put(page, format_args!("### `{name}`{kind}\n\n"));
    put(
        page,
        format_args!("```sql\n{}\n```\n\n", documentation.syntax_example),
    );
    put(
        page,
        format_args!("{}\n\n", documentation.description.trim()),
    );
    if !aliases.is_empty() {
        let aliases: Vec<_> = aliases.iter().map(|name| format!("`{name}`")).collect();
        put(
            page,
            format_args!("Also called {}.\n\n", aliases.join(", ")),
        );
    }
    for (argument, description) in documentation.arguments.iter().flatten() {
        put(
            page,
            format_args!("- `{argument}`: {}\n", description.trim()),
        );
    }
    if documentation.arguments.is_some() {
        page.push('\n');
    }
    if let Some(example) = &documentation.sql_example {
        put(page, format_args!("{}\n\n", example.trim()));
    }
}

/// One of our functions.
struct Documented {
    name: String,
    /// What stands behind the name in the heading.
    kind: &'static str,
    aliases: Vec<String>,
    documentation: Documentation,
}

/// Our functions by name.
fn documented(context: &SessionContext) -> Vec<Documented> {
    let state = context.state();
    let mut found: Vec<Documented> = Vec::new();
    let mut add = |name: &str, kind, aliases: &[String], documentation: Option<&Documentation>| {
        if let Some(documentation) = documentation
            && SECTIONS.contains(&documentation.doc_section.label)
            && !found.iter().any(|known| known.name == name)
        {
            found.push(Documented {
                name: name.to_string(),
                kind,
                aliases: aliases.to_vec(),
                documentation: documentation.clone(),
            });
        }
    };
    for function in state.udfs().iter().flat_map(|name| state.udf(name)) {
        let documentation = function.documentation();
        add(function.name(), "", function.aliases(), documentation);
    }
    for function in state.udafs().iter().flat_map(|name| state.udaf(name)) {
        let documentation = function.documentation();
        add(
            function.name(),
            " (aggregate)",
            function.aliases(),
            documentation,
        );
    }
    for function in state.udwfs().iter().flat_map(|name| state.udwf(name)) {
        let documentation = function.documentation();
        add(
            function.name(),
            " (window)",
            function.aliases(),
            documentation,
        );
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Writing to a string cannot fail.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}
