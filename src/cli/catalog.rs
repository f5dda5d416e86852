//! What the session knows: functions, tables and columns, for `\d`, `\df` and completion.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{DocSection, Documentation};
use datafusion::prelude::SessionContext;

use crate::readers;
use crate::readers::bids::arguments::{self, DERIVATIVES};
use crate::readers::call::usage;
use crate::readers::format::{BidsUse, Format};

/// A SQL function.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    /// `scalar`, `aggregate`, `window` or `table`.
    pub kind: &'static str,
    pub documentation: Option<Documentation>,
}

impl Function {
    /// The first sentence of its documentation.
    pub fn summary(&self) -> String {
        let Some(documentation) = &self.documentation else {
            return String::new();
        };
        let text = documentation
            .description
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        match text.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => text,
        }
    }
}

/// A table or view.
#[derive(Debug, Clone)]
pub struct Table {
    /// As it is written in a query: with the schema where that is not the default one.
    pub name: String,
    pub kind: &'static str,
    pub schema: SchemaRef,
}

/// All functions of the session, by name.
pub fn functions(ctx: &SessionContext) -> Vec<Function> {
    let state = ctx.state();
    let mut functions: Vec<Function> = Vec::new();
    let mut add = |name: &str, kind, documentation: Option<&Documentation>| {
        functions.push(Function {
            name: name.to_owned(),
            kind,
            documentation: documentation.cloned(),
        });
    };
    for (name, function) in state.scalar_functions() {
        add(name, "scalar", function.documentation());
    }
    for (name, function) in state.higher_order_functions() {
        add(name, "scalar", function.documentation());
    }
    for (name, function) in state.aggregate_functions() {
        add(name, "aggregate", function.documentation());
    }
    for (name, function) in state.window_functions() {
        add(name, "window", function.documentation());
    }
    for name in state.table_functions().keys() {
        add(name, "table", None);
    }
    for format in readers::formats() {
        add(format.function(), "table", Some(&reader(format.as_ref())));
    }
    functions.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    functions
}

/// What a format says about itself, as documentation of its table function.
fn reader(format: &dyn Format) -> Documentation {
    let knows_bids = format.bids() != BidsUse::Nothing;
    let derivatives = knows_bids.then_some(&DERIVATIVES);
    let parameters = format.parameters().iter().chain(derivatives);
    let entities = knows_bids.then(|| {
        (
            arguments::NAMES.replace('`', ""),
            arguments::DESCRIPTION.to_owned(),
        )
    });
    let documented = parameters.map(|p| {
        (
            p.name.to_owned(),
            format!("{} Default: {}.", p.description, p.default),
        )
    });
    Documentation {
        doc_section: DocSection::default(),
        description: match format.extensions() {
            [] => format.description().to_string(),
            endings => format!("Rows of {} files.", endings.join(", ")),
        },
        syntax_example: usage(format),
        sql_example: None,
        arguments: Some(documented.chain(entities).collect()),
        alternative_syntax: None,
        related_udfs: None,
    }
}

/// All tables and views of the session, by name; the information schema is left out.
pub async fn tables(ctx: &SessionContext) -> Vec<Table> {
    let state = ctx.state();
    let defaults = &state.config().options().catalog;
    let mut tables = Vec::new();
    for catalog_name in ctx.catalog_names() {
        let Some(catalog) = ctx.catalog(&catalog_name) else {
            continue;
        };
        for schema_name in catalog.schema_names() {
            let Some(schema) = catalog.schema(&schema_name) else {
                continue;
            };
            if schema_name == "information_schema" {
                continue;
            }
            let prefix = match (
                catalog_name == defaults.default_catalog,
                schema_name == defaults.default_schema,
            ) {
                (true, true) => String::new(),
                (true, false) => format!("{}.", quoted(&schema_name)),
                (false, _) => format!("{}.{}.", quoted(&catalog_name), quoted(&schema_name)),
            };
            for name in schema.table_names() {
                match table(&schema, &name, &prefix).await {
                    Ok(Some(table)) => tables.push(table),
                    Ok(None) => {}
                    Err(error) => {
                        log::warn!("table {name}: {}", crate::message::message(&error).text)
                    }
                }
            }
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

async fn table(
    schema: &Arc<dyn SchemaProvider>,
    name: &str,
    prefix: &str,
) -> Result<Option<Table>> {
    Ok(schema.table(name).await?.map(|provider| Table {
        name: format!("{prefix}{}", quoted(name)),
        kind: match provider.table_type() {
            TableType::Base => "table",
            TableType::View => "view",
            TableType::Temporary => "temporary",
        },
        schema: provider.schema(),
    }))
}

/// A name as SQL wants it: quoted where it has capitals or signs.
pub fn quoted(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    match plain && !name.is_empty() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A type for people: `Float32[80]` is a vector of 80 numbers, `Float32[]` a
/// list of any length.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "Text".to_owned(),
        DataType::FixedSizeList(field, length) => {
            format!("{}[{length}]", type_name(field.data_type()))
        }
        DataType::List(field) | DataType::LargeList(field) => {
            format!("{}[]", type_name(field.data_type()))
        }
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn names_are_quoted_where_sql_needs_it() {
        assert_eq!(quoted("bold_01"), "bold_01");
        assert_eq!(quoted("Bold"), "\"Bold\"");
        assert_eq!(quoted("1st"), "\"1st\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn types_of_vectors_are_short() {
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        assert_eq!(
            type_name(&DataType::FixedSizeList(Arc::clone(&item), 80)),
            "Float32[80]"
        );
        assert_eq!(type_name(&DataType::List(item)), "Float32[]");
    }

    #[tokio::test]
    async fn the_catalog_of_a_session() {
        let ctx = SessionContext::new();
        for sql in [
            "CREATE TABLE t AS SELECT 1 AS a",
            "CREATE VIEW v AS SELECT a FROM t",
        ] {
            ctx.sql(sql).await.unwrap().collect().await.unwrap();
        }
        let kinds: Vec<_> = tables(&ctx)
            .await
            .into_iter()
            .map(|t| (t.name, t.kind))
            .collect();
        assert_eq!(kinds, [("t".to_owned(), "table"), ("v".to_owned(), "view")]);
        let functions = functions(&ctx);
        let abs = functions.iter().find(|f| f.name == "abs").unwrap();
        assert_eq!(abs.kind, "scalar");
        assert_eq!(abs.summary(), "Returns the absolute value of a number.");
    }
}
