import DFSCore

extension RPCChannel {
  /// Asks a server whether it serves (`grpc.health.v1`): `service`, or the server as a whole. `nil` when it does
  /// not know the service.
  package func health(of service: String = "", within timeout: Duration) async throws -> HealthService.Status?
  {
    var request = Grpc_Health_V1_HealthCheckRequest()
    request.service = service
    do {
      let answer = try await call(HealthService.check, request, options: CallOptions(timeout: timeout))
      return answer.status == .serving ? .serving : .notServing
    } catch let error as DFSError where error.code == .notFound {
      return nil
    }
  }
}
