use super::*;
use crate::readers::cifti::content::Content;
use crate::readers::cifti::header;
use crate::readers::testing::here;

/// The XML of a fixture.
fn xml(name: &str) -> String {
    let path = here("tests/data/surfaces").join(name);
    let (_, xml) = header::read(&mut Content::open(&path).unwrap()).unwrap();
    xml
}

const DENSE: &str = "sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii";
const PARCELS: &str = "late.ptseries.nii";

#[test]
fn what_nibabel_writes() {
    let [along, across] = parse(&xml(DENSE)).unwrap();
    let series = Series {
        points: 7,
        step: Some(0.72),
        start: 0.0,
    };
    assert_eq!(along, Map::Series(series));
    let Map::Elements(Elements::Models { models, volume }) = across else {
        panic!("{across:?}")
    };
    assert_eq!(
        models[0],
        BrainModel {
            structure: "CIFTI_STRUCTURE_CORTEX_LEFT".to_owned(),
            offset: 0,
            points: Points::Vertices {
                surface: 12,
                list: vec![0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
            },
        }
    );
    assert_eq!((models[1].offset, models[2].offset), (10, 19));
    let voxels = vec![[1, 2, 3], [1, 2, 4], [2, 2, 3], [2, 2, 4]];
    assert_eq!(models[2].points, Points::Voxels(voxels));
    let volume = volume.unwrap();
    assert_eq!(volume.dimensions, [4, 5, 6]);
    assert_eq!(volume.affine[0], [-2.0, 0.0, 0.0, 90.0]);

    let [along, across] = parse(&xml(PARCELS)).unwrap();
    let Map::Series(series) = along else { panic!() };
    assert_eq!((series.step, series.start), (Some(2.0), 1.5));
    let Map::Elements(Elements::Parcels { parcels, .. }) = across else {
        panic!("{across:?}")
    };
    let names: Vec<&str> = parcels.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Visual & more", "Thalamus", "Nothing"]);
    assert_eq!(parcels[0].surfaces[0].1.len(), 2);
    assert_eq!(parcels[1].voxels.len(), 2);
    let [names, _] = parse(&xml("two.dscalar.nii")).unwrap();
    let want = ["faces", "houses & more"].map(str::to_owned).to_vec();
    assert_eq!(names, Map::Scalars(want));
}

#[test]
fn contradictions_and_damage_are_refused() {
    let dense = xml(DENSE);
    let fails = |from: &str, to: &str, part: &str| {
        assert!(dense.contains(from), "{from} is not in {dense}");
        let message = parse(&dense.replacen(from, to, 1)).unwrap_err();
        assert!(message.contains(part), "{from} -> {to}: {message}");
    };
    fails("Version=\"2.0\"", "Version=\"1.0\"", "version 1.0");
    fails("SECOND", "HERTZ", "in HERTZ");
    fails("SeriesStep=\"0.72\"", "SeriesStep=\"x\"", "SeriesStep");
    fails("SeriesStep=\"0.72\"", "SeriesStep=\"inf\"", "SeriesStep");
    fails("SeriesStep=\"0.72\"", "", "no attribute SeriesStep");
    fails(
        "NumberOfSeriesPoints=\"7\"",
        "NumberOfSeriesPoints=\"-7\"",
        "-7",
    );
    fails(
        "SeriesExponent=\"0\"",
        "SeriesExponent=\"999999999\"",
        "seconds",
    );
    fails(
        "IndexCount=\"10\"",
        "IndexCount=\"11\"",
        "says 11 elements and lists 10",
    );
    fails(
        "IndexOffset=\"10\"",
        "IndexOffset=\"9\"",
        "where 10 is next",
    );
    fails(
        "SurfaceNumberOfVertices=\"12\"",
        "SurfaceNumberOfVertices=\"10\"",
        "vertex 10",
    );
    fails(
        "VolumeDimensions=\"4,5,6\"",
        "VolumeDimensions=\"4,5\"",
        "three numbers",
    );
    fails(
        "VolumeDimensions=\"4,5,6\"",
        "VolumeDimensions=\"4,5,4\"",
        "outside of the volume",
    );
    fails(
        "CIFTI_MODEL_TYPE_SURFACE",
        "CIFTI_MODEL_TYPE_NO",
        "no kind of brain model",
    );
    fails(
        "CIFTI_MODEL_TYPE_SURFACE",
        "CIFTI_MODEL_TYPE_VOXELS",
        "does not belong",
    );
    fails(
        "CIFTI_INDEX_TYPE_SERIES",
        "CIFTI_INDEX_TYPE_NO",
        "no kind of index map",
    );
    fails(
        "AppliesToMatrixDimension=\"0\"",
        "AppliesToMatrixDimension=\"1\"",
        "two maps",
    );
    fails(
        "AppliesToMatrixDimension=\"0\"",
        "AppliesToMatrixDimension=\"2\"",
        "more than two",
    );
    fails(
        "AppliesToMatrixDimension=\"0\"",
        "AppliesToMatrixDimension=\"\"",
        "dimension 0",
    );
    fails("</Matrix>", "", "damaged XML");
    fails("</CIFTI>", "", "ends before </CIFTI>");
    fails("<VertexIndices>0", "<VertexIndices>zero", "\"zero\"");
    fails(
        "<VertexIndices>0",
        "<VertexIndices>99999999999",
        "VertexIndices",
    );
    fails("<VoxelIndicesIJK>1", "<VoxelIndicesIJK>1 1", "no triples");
    fails("<VertexIndices>0", "<VertexIndices>&lots;", "&lots;");
    for n in 0..dense.len() - "</CIFTI>".len() {
        assert!(parse(&dense[..n]).is_err(), "cut to {n} bytes");
    }
    let parcels = xml(PARCELS);
    let fails = |from: &str, to: &str, part: &str| {
        assert!(parcels.contains(from), "{from} is not in {parcels}");
        let message = parse(&parcels.replacen(from, to, 1)).unwrap_err();
        assert!(message.contains(part), "{from} -> {to}: {message}");
    };
    fails("<Volume", "<Volume_", "damaged XML");
    fails(
        "SurfaceNumberOfVertices=\"12\"",
        "SurfaceNumberOfVertices=\"3\"",
        "vertex 3",
    );
    fails(
        "<Surface BrainStructure=\"CIFTI_STRUCTURE_CORTEX_LEFT\"",
        "<Surface BrainStructure=\"A\"",
        "no Surface",
    );
}

#[test]
fn steps_are_decimals() {
    let with = |step: &str, exponent: &str| {
        let xml = xml(DENSE)
            .replace("SeriesStep=\"0.72\"", &format!("SeriesStep=\"{step}\""))
            .replace(
                "SeriesExponent=\"0\"",
                &format!("SeriesExponent=\"{exponent}\""),
            );
        let [along, _] = parse(&xml).unwrap();
        let Map::Series(series) = along else { panic!() };
        series.step
    };
    assert_eq!(with("720", "-3"), Some(0.72));
    assert_eq!(with("0.72000002861022949", "0"), Some(0.72));
    assert_eq!(with("1.4900000095", "0"), Some(1.49));
    assert_eq!(with("0.7234567", "0"), Some(0.7234567));
    assert_eq!(with("2", "0"), Some(2.0));
    for nothing in ["0", "-1"] {
        assert_eq!(with(nothing, "0"), None);
    }
}

#[test]
fn bombs_and_depth_are_harmless() {
    let bomb = "<!DOCTYPE CIFTI [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><CIFTI Version=\"2\">&b;</CIFTI>";
    assert!(parse(bomb).unwrap_err().contains("no MatrixIndicesMap"));
    let deep = "<a>".repeat(100_000);
    assert!(parse(&deep).is_err());
    let many = format!("<CIFTI Version='2' {}></CIFTI>", "a='1' ".repeat(10_000));
    assert!(parse(&many).is_err());
}
