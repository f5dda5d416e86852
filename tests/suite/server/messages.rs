//! Messages: of wide rows, and malformed ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use prost::Message;
use tonic::Code;
use voxql::server::Options;

use super::{
    ask, connect, create, ingest, number, on_a_free_port, refusal, rows, serve, start, ticket,
};

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_come_in_messages_that_fit() {
    let options = Options {
        message_limit: 4 << 20,
        ..on_a_free_port()
    };
    let (_, address) = serve(&options).await;
    let mut client = connect(address).await;
    let width = 230_000;
    let vectors = |width: usize, rows: usize| {
        let values = Float32Array::from_iter_values((0..rows * width).map(|i| i as f32));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let list = FixedSizeListArray::new(item, width as i32, Arc::new(values), None);
        RecordBatch::try_from_iter([("v", Arc::new(list) as ArrayRef)]).unwrap()
    };
    let brain = vectors(width, 30);
    ingest(&mut client, create("brain"), vec![brain.clone()])
        .await
        .unwrap();
    let info = client
        .execute("SELECT v FROM brain".to_string(), None)
        .await
        .unwrap();
    let mut stream = client
        .inner_mut()
        .do_get(ticket(&info))
        .await
        .unwrap()
        .into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(message.encoded_len() < 4 << 20);
        messages.push(message);
    }
    assert!(messages.len() > 10, "{}", messages.len());
    let back = ask(&mut client, "SELECT v FROM brain").await.unwrap();
    assert_eq!(back.column(0), brain.column(0));
    // One row above the limit.
    ingest(&mut client, create("wide"), vec![vectors(1_100_000, 1)])
        .await
        .unwrap();
    let (code, text) = refusal(&mut client, "SELECT v FROM wide").await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(
        text.contains("--max-message-size") && text.contains("with_max_msg_size"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_errors() {
    let mut client = start().await;
    let garbage = vec![0xff; 100];
    let flight = client.inner_mut();
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_cmd(garbage.clone()))
            .await
            .is_err()
    );
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_path(vec!["x".to_string()]))
            .await
            .is_err()
    );
    assert!(flight.do_get(Ticket::new(garbage.clone())).await.is_err());
    assert!(flight.do_get(Ticket::new(Vec::new())).await.is_err());
    let forged = TicketStatementQuery {
        statement_handle: "12 or so".into(),
    };
    assert!(
        flight
            .do_get(Ticket::new(forged.as_any().encode_to_vec()))
            .await
            .is_err()
    );
    let cut = Any {
        value: vec![0x0a, 0xff].into(),
        ..CommandStatementQuery::default().as_any()
    };
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_cmd(cut.encode_to_vec()))
            .await
            .is_err()
    );
    for action in [
        "CancelFlightInfo",
        "CancelQuery",
        "CreatePreparedStatement",
        "Nonsense",
    ] {
        let action = Action {
            r#type: action.to_string(),
            body: garbage.clone().into(),
        };
        assert!(flight.do_action(action).await.is_err());
    }
    // Rows that are none.
    let descriptor = FlightDescriptor::new_cmd(create("t").as_any().encode_to_vec());
    let data = |header: Vec<u8>, body: Vec<u8>| FlightData {
        flight_descriptor: Some(descriptor.clone()),
        data_header: header.into(),
        data_body: body.into(),
        ..FlightData::default()
    };
    for message in [
        data(garbage.clone(), Vec::new()),
        data(Vec::new(), garbage.clone()),
    ] {
        assert!(
            flight
                .do_put(futures::stream::iter([message]))
                .await
                .is_err()
        );
    }
    // A header that promises more than the body has.
    let good =
        arrow_flight::utils::batches_to_flight_data(&rows(0..1000).schema(), vec![rows(0..1000)])
            .unwrap();
    let mut cut: Vec<FlightData> = good;
    cut[0].flight_descriptor = Some(descriptor.clone());
    cut[1].data_body = cut[1].data_body.slice(0..64);
    assert!(flight.do_put(futures::stream::iter(cut)).await.is_err());
    assert!(ask(&mut client, "SELECT * FROM t").await.is_err());
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
}
