import DFSCore
import TestSupport
import Testing

@testable import DFSMetadata

/// Random operations against a dictionary, with restarts and reaping in the middle.
@Suite struct ModelTests {
  private func path(_ random: inout SeededGenerator) -> RemotePath {
    let depth = Int.random(in: 0...9, using: &random) == 0 ? 0 : Int.random(in: 1...4, using: &random)
    let names = (0..<depth).compactMap { _ in try? FileName("\("abc".randomElement(using: &random) ?? "a")") }
    return RemotePath(components: names)
  }

  /// One random operation on both; gives the two outcomes.
  private func step(
    _ cluster: TestCluster, _ model: inout NamespaceModel, _ random: inout SeededGenerator
  ) async throws -> (is: DFSError.Code?, should: DFSError.Code?) {
    let (one, two) = (path(&random), path(&random))
    let flag = Bool.random(using: &random)
    let namespace = cluster.namespace
    let id = RequestID.random(seen: cluster.revision, using: &random)
    switch Int.random(in: 0...11, using: &random) {
    case 0...3:
      let bytes = random.bytes(Int.random(in: 0...20, using: &random))
      let put = PutInline(
        target: one, attributes: cluster.attributes, precondition: flag ? .ifAbsent : .none, bytes: bytes,
        root: digest(1))
      return (
        await code { try await namespace.mutate(put, id: id) }, model.put(one, .inline(bytes), ifAbsent: flag)
      )
    case 4:
      return (await upload(cluster, one, id), model.put(one, .chunks(2), ifAbsent: false))
    case 5, 6:
      let mkdir = MakeDirectory(path: one, parents: flag ? .make : .mustExist, attributes: cluster.attributes)
      return (await code { try await namespace.mutate(mkdir, id: id) }, model.mkdir(one, parents: flag))
    case 7, 8:
      let remove = Remove(path: one, scope: flag ? .tree : .fileOrEmptyDirectory)
      return (await code { try await namespace.mutate(remove, id: id) }, model.remove(one, tree: flag))
    default:
      let rename = Rename(source: one, target: two, existing: flag ? .replace : .refuse)
      return (
        await code { try await namespace.mutate(rename, id: id) }, model.rename(one, two, replace: flag)
      )
    }
  }

  /// One random operation on both that puts nothing into the trash but may take something out; the outcomes.
  private func stepOfTrash(
    _ cluster: TestCluster, _ model: inout NamespaceModel, _ random: inout SeededGenerator
  ) async throws -> (is: DFSError.Code?, should: DFSError.Code?) {
    let namespace = cluster.namespace
    let known = try cluster.trash().randomElement(using: &random)
    let deletion = known?.deletion ?? DeletionID(expiry: 1, serial: 1)
    switch Int.random(in: 0...2, using: &random) {
    case 0:
      let isPurged = try await cluster.purge(deletion)
      return model.purge(deletion) == isPurged ? (nil, nil) : (.internal, nil)
    case 1:
      let target = path(&random)
      let undelete = Undelete(deletion: deletion, target: target)
      return (await code { try await namespace.mutate(undelete) }, model.undelete(deletion, to: target))
    default:
      let undelete = Undelete(deletion: deletion)
      let outcome = await code { try await namespace.mutate(undelete) }
      guard let place = known?.path, let directory = place.parent else { return (outcome, .notFound) }
      guard model.node(directory) == .directory else { return (outcome, .failedPrecondition) }
      return (outcome, model.undelete(deletion, to: place))
    }
  }

  /// The same for any operation. What it removes or replaces is in the trash of both.
  private func stepWithTrash(
    _ cluster: TestCluster, _ model: inout NamespaceModel, _ random: inout SeededGenerator
  ) async throws -> (is: DFSError.Code?, should: DFSError.Code?) {
    guard cluster.configuration.trashRetention > .zero else {
      return try await step(cluster, &model, &random)
    }
    if Int.random(in: 0...4, using: &random) == 0 { return try await stepOfTrash(cluster, &model, &random) }
    let before = model
    let outcomes = try await step(cluster, &model, &random)
    if let entry = try cluster.trash().last, model.trash[entry.deletion] == nil {
      // An empty directory that another one replaces is nothing to have back.
      model.discard(before.subtree(entry.path), as: entry.deletion)
    }
    return outcomes
  }

  private func upload(_ cluster: TestCluster, _ path: RemotePath, _ id: RequestID) async -> DFSError.Code? {
    await code {
      let begin = BeginUpload(
        target: path, attributes: cluster.attributes, chunkSize: smallChunks,
        groups: [GroupID(rawValue: 0), GroupID(rawValue: 1), GroupID(rawValue: 2)])
      let upload = try await cluster.namespace.mutate(begin).outcome.upload
      return try await cluster.commit(upload, cluster.stored([0, 2]), id: id)
    }
  }

  /// The namespace shows what the model has, entry by entry.
  private func compare(_ cluster: TestCluster, _ model: NamespaceModel, _ seed: UInt64) throws {
    var request = ListRequest(path: .root, depth: .recursive, limit: 7)
    var entries: [ListPage.Entry] = []
    while true {
      let page = try cluster.namespace.list(request)
      entries += page.entries
      guard let next = page.next else { break }
      (request.after, request.snapshot) = (next.after, next.snapshot)
    }
    try #require(entries.map(\.path) == model.paths, "seed \(seed)")
    try #require(Set(cluster.trash(limit: 9).map(\.deletion)) == Set(model.trash.keys), "seed \(seed)")
    let view = try cluster.namespace.view()
    for entry in entries {
      let contents = try view.lookup(entry.path).contents
      switch model.node(entry.path) {
      case .directory: try #require(contents == .directory, "seed \(seed)")
      case .inline(let bytes): try #require(contents == .inline(bytes), "seed \(seed)")
      case .chunks(let count):
        guard case .chunks(let page) = contents else { throw DFSError(.internal, "seed \(seed): no chunks") }
        try #require(page.chunks.count == count, "seed \(seed)")
      case nil: throw DFSError(.internal, "seed \(seed)")
      }
      if entry.status.kind == .directory { try #require(view.path(of: entry.status.inode) == entry.path) }
    }
  }

  @Test(arguments: Engine.allCases, [Duration.zero, .seconds(2 * 3600)])
  func `random operations do what a dictionary does, with and without a trash, across restarts`(
    engine: Engine, retention: Duration
  ) async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let cluster = try TestCluster(engine, seed: random.next()) { $0.trashRetention = retention }
    try await cluster.form(groups: 3)
    var model = NamespaceModel()
    for number in 1...1500 {
      let (outcome, expected) = try await stepWithTrash(cluster, &model, &random)
      try #require(outcome == expected, "seed \(random.seed), step \(number)")
      if number % 50 == 0 { try compare(cluster, model, random.seed) }
      if number % 200 == 0 {
        cluster.clock.advance(by: .seconds(1900))
        for entry in try cluster.trash() where entry.expires <= cluster.namespace.time {
          let wasKnown = model.purge(entry.deletion)
          #expect(wasKnown, "seed \(random.seed)")
        }
        try await cluster.purgeExpired()
        try await cluster.reapAll()
      }
      if number % 300 == 0 {
        try await cluster.restart()
        try compare(cluster, model, random.seed)
        try cluster.namespace.view().checkDigest()
      }
    }
    // Everything goes, and nothing is left behind.
    for path in model.paths where path.components.count == 1 {
      try await cluster.namespace.mutate(Remove(path: path, scope: .tree))
    }
    for entry in try cluster.trash() { try await cluster.purge(entry.deletion) }
    try await cluster.reapAfterGrace()
    for letter in ["e", "c", "k", "x", "u", "t"] { #expect(try cluster.count(Character(letter)) == 0) }
    #expect(try cluster.count("i") == 1)
    let counts = cluster.namespace.counts
    #expect(counts.files == 0 && counts.directories == 1 && counts.chunks == 0 && counts.bytes == .zero)
    try await cluster.finish()
  }
}
