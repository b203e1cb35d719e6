import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func renewUpload(_ request: WireRenewUploadRequest) async throws -> WireRenewUploadResponse {
    try check(request.uploads.count, atMost: 1000, "uploads")
    let (namespace, uploads) = (namespace, request.uploads)
    var response = WireRenewUploadResponse()
    response.leaseMs = UInt64(configuration.namespace.uploadLease.milliseconds)
    response.gone = try await disk.run {
      try uploads.filter { upload in
        do {
          _ = try namespace.renewUpload(UploadID(rawValue: upload))
          return false
        } catch let error as DFSError where error.code == .notFound {
          return true
        }
      }
    }
    return response
  }

  func abortUpload(_ request: WireAbortUploadRequest) async throws -> WireAbortUploadResponse {
    let id = try RequestID(request.requestID)
    let settled = try await namespace.mutate(
      AbortUpload(upload: UploadID(rawValue: request.upload), cause: .client), id: id)
    var response = WireAbortUploadResponse()
    response.revision = settled.revision.rawValue
    return response
  }

  func resumeUpload(_ request: WireResumeUploadRequest) async throws -> WireResumeUploadResponse {
    let (id, from) = (UploadID(rawValue: request.upload), request.fromIndex)
    let lease = try await disk.run { [namespace] in try namespace.renewUpload(id) }
    let (upload, directory, allocated, rows) = try await read { view in
      let upload = try view.upload(id)
      let end = min(upload.allocated, from.addingReportingOverflow(1024).partialValue)
      let groups = from < end ? try view.allocatedGroups(of: id, in: from..<end) : []
      return (upload, try view.path(of: upload.parent), groups, try view.groups(Set(groups).sorted()))
    }
    var response = WireResumeUploadResponse()
    let placement = cluster.answer(rows)
    response.path = directory.appending(upload.name).description
    response.chunkSize = UInt32(upload.chunkSize.bytes)
    response.replicas = UInt32(upload.policy.replicas)
    response.sealedSegments = UInt64(upload.sealedSegments)
    response.allocations = WireAllocation.runs(of: allocated, from: from)
    response.more = UInt64(from) + UInt64(allocated.count) < UInt64(upload.allocated)
    response.groups = placement.groups
    response.nodes = placement.nodes
    response.leaseMs = UInt64(lease.milliseconds)
    return response
  }
}
