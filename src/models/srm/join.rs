//! `CREATE MODEL n FROM MODEL m AS SELECT …`: more subjects in the space of a model.

use std::path::Path;

use datafusion::common::{Result, exec_err, plan_err};
use faer::MatRef;
use voxql_udfs::kernels::srm::{Data, new_map, robust};

use super::fit::{read, refused, shapes};
use super::options::{Kind, Options};
use super::stored::{self, SubjectsWriter, subjects};
use crate::models::fitted_times;
use crate::models::rows::{Reader, Rows, Times};
use crate::models::store::{Description, Models};

/// Writes the files of a model that is `model` and the subjects of `rows`, whose times must be those of
/// its fit. Each new map is the orthonormal one nearest to the subject's data times the shared
/// response (BrainIAK's `transform_subject`); the shared response stays as it is.
///
/// # Errors
/// A subject that the model has already, other times, fewer voxels than features.
pub fn join(rows: &mut Rows, models: &Models, model: &Description, directory: &Path) -> Result<()> {
    let options: Options = model.options()?;
    let known = subjects(models, model)?;
    if let Some(twice) = rows
        .subjects
        .iter()
        .find(|s| model.subjects.contains(&s.name))
    {
        return plan_err!(
            "CREATE MODEL: subject {} is in the model {} already; select the new subjects only",
            twice.name,
            model.name
        );
    }
    rows.check_same_times()?;
    let Some(first) = rows.subjects.first() else {
        return exec_err!("CREATE MODEL: the query gave no rows");
    };
    let times = fitted(models, model, &first.times)?;
    times.check_same(
        &format!("the model {}", model.name),
        &first.title(),
        &first.times,
    )?;

    let trs = first.trs();
    let size = Reader::usual_panel(trs);
    let most = rows.subjects.iter().map(|s| s.widths[0]).max().unwrap_or(0);
    let held = 8 * (4 * size.min(most) * trs + 2 * most * options.features);
    rows.memory.try_grow(held)?;
    let rows = &*rows;
    let read = |i: usize, f: &mut dyn FnMut(MatRef<'_, f64>)| read(rows, i, size, f);
    let data = Data {
        subjects: shapes(rows),
        read: &read,
        threads: 1,
    };
    let shared = stored::shared(models, model)?;
    let s = shared.as_ref();
    stored::write_shared(directory, s)?;
    if options.kind == Kind::Srm {
        stored::write_sigma(directory, stored::sigma(models, model)?.as_ref())?;
    }
    fitted_times::write(directory, &times)?;
    let mut writer = SubjectsWriter::create(directory)?;
    for subject in known.iter() {
        writer.write(subject.clone())?;
    }
    let centring = options.centring();
    for (i, subject) in rows.subjects.iter().enumerate() {
        let map = match options.kind {
            Kind::Srm | Kind::Detsrm => new_map(&data, i, s, centring),
            Kind::Rsrm => robust::new_map(&data, i, s, options.gamma, options.iterations, centring),
        };
        let (w, mean) = map.map_err(refused)?;
        writer.write_map(&subject.name, w.as_ref(), mean)?;
    }
    writer.finish()
}

/// The times of the model's fit, in the types that the new subjects' times have.
fn fitted(models: &Models, model: &Description, like: &Times) -> Result<Times> {
    let Some(times) = fitted_times::read(models, model)? else {
        return exec_err!(
            "CREATE MODEL: the model {} was read from a file and does not know the times of its fit, so \
             no subject can join it",
            model.name
        );
    };
    match fitted_times::like(&times, like)? {
        Some(times) => Ok(times),
        None => {
            let names = times.schema();
            let names: Vec<_> = names.fields().iter().map(|f| f.name().as_str()).collect();
            plan_err!(
                "CREATE MODEL: the model {} was fitted with the times {}, this query has {}",
                model.name,
                names.join(", "),
                like.names.join(", ")
            )
        }
    }
}
