//! Queries that end before their last row.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use futures::StreamExt;
use prost::Message;
use tonic::Code;
use voxql::server::Options;

use super::{
    ENDLESS, ask, connect, on_a_free_port, refusal, refused, serve, start, ticket, until_idle,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_its_ticket() {
    let mut client = start().await;
    let cancel = |info: &FlightInfo| Action {
        r#type: "CancelFlightInfo".to_string(),
        body: CancelFlightInfoRequest {
            info: Some(info.clone()),
        }
        .encode_to_vec()
        .into(),
    };
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    client.do_action(cancel(&info)).await.unwrap();
    let end = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break refused(error),
            None => panic!("a cancelled query looks like a whole one"),
        }
    };
    assert_eq!(end.0, Code::Cancelled);
    // One that was never fetched.
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    client.do_action(cancel(&info)).await.unwrap();
    assert_eq!(
        refused(client.do_get(ticket(&info)).await.err().unwrap()).0,
        Code::NotFound
    );
    let error = client.do_action(cancel(&info)).await.err().unwrap();
    assert_eq!(refused(error).0, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_shown_and_cancelled_by_their_number() {
    let (_, address) = serve(&on_a_free_port()).await;
    let mut client = connect(address).await;
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let mut other = connect(address).await;
    let shown = ask(&mut other, "SHOW QUERIES").await.unwrap();
    // The one that runs, and the question itself.
    assert_eq!(shown.num_rows(), 2);
    let text = |column: usize| shown.column(column).as_string::<i32>().value(0).to_string();
    assert_eq!((text(2).as_str(), text(4).as_str()), ("sending", ENDLESS));
    let number = shown.column(0).as_primitive::<UInt64Type>().value(0);
    let said = ask(&mut other, &format!("CANCEL QUERY {number}"))
        .await
        .unwrap();
    assert_eq!(
        said.column(0).as_string::<i32>().value(0),
        format!("told query {number} to stop")
    );
    loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break assert_eq!(refused(error).0, Code::Cancelled),
            None => panic!("a cancelled query looks like a whole one"),
        }
    }
    let (code, _) = refusal(&mut other, &format!("CANCEL QUERY {number}")).await;
    assert_eq!(code, Code::NotFound);
    // A statement that is done before its result is fetched.
    let mut writer = connect(address).await;
    let table = format!("CREATE TABLE t AS {ENDLESS}");
    let writing = tokio::spawn(async move { refusal(&mut writer, &table).await.0 });
    let number = loop {
        let shown = ask(&mut other, "SHOW QUERIES").await.unwrap();
        let texts = shown.column(4).as_string::<i32>();
        if texts.value(0).starts_with("CREATE TABLE") {
            break shown.column(0).as_primitive::<UInt64Type>().value(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    ask(&mut other, &format!("CANCEL QUERY {number}"))
        .await
        .unwrap();
    assert_eq!(writing.await.unwrap(), Code::Cancelled);
    assert_eq!(ask(&mut other, "SHOW QUERIES").await.unwrap().num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_query() {
    let (session, address) = serve(&on_a_free_port()).await;
    let mut client = connect(address).await;
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    drop(client);
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_stopped() {
    let options = Options {
        query_timeout: Some(Duration::from_millis(500)),
        ..on_a_free_port()
    };
    let (session, address) = serve(&options).await;
    let mut client = connect(address).await;
    let (code, text) = refusal(&mut client, ENDLESS).await;
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("--query-timeout"), "{text}");
    // Where the work is done before rows are fetched.
    let table = format!("CREATE TABLE t AS {ENDLESS}");
    assert_eq!(refusal(&mut client, &table).await.0, Code::DeadlineExceeded);
    assert!(ask(&mut client, "SELECT * FROM t").await.is_err());
    until_idle(&session).await;
}
