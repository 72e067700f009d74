//! The discovery server, asked by clients that others wrote: gRPC's own, and one on the types of
//! xDS as others publish them. Both are in Python.

#[cfg(test)]
mod puppet;

#[cfg(test)]
mod tests {
    use xds::Limits;

    use crate::puppet::run;

    #[tokio::test]
    async fn the_checklist_in_delta() {
        run("delta.py", Limits::default()).await;
    }

    #[tokio::test]
    async fn the_checklist_in_state_of_the_world() {
        run("state.py", Limits::default()).await;
    }

    #[tokio::test]
    async fn how_clients_stand() {
        run("status.py", Limits::default()).await;
    }

    #[tokio::test]
    async fn a_grpc_client_finds_its_backend() {
        run("channel.py", Limits::default()).await;
    }
}
