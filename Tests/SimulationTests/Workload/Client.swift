import DFSCore
import DFSMetadata
import TestSupport

@testable import DFSCoordinator

/// One program that uses the cluster: one operation after another, with pauses, and uploads beside them.
final class Client {
  let number: Int
  unowned let world: World
  private var seen = Revision.zero

  init(number: Int, in world: World) {
    self.number = number
    self.world = world
  }

  var host: Host { .client(number) }

  func begin() {
    world.schedule(after: world.around(world.scenario.workload.every)) { [self] in work() }
  }

  private func work() {
    guard world.isStormy else { return }
    switch world.below(100) {
    case 0..<42: ClientUpload(of: self, world.scenario.somePath(&world.random)).begin()
    case 42..<76: ClientRead(of: self, world.scenario.somePath(&world.random)).begin()
    case 76..<84: rename()
    case 84..<92: remove()
    case 92..<98: undelete()
    default: removeTree()
    }
    begin()
  }

  func requestID() -> RequestID { RequestID.random(seen: seen, using: &world.random) }

  /// Asks the coordinator that is found, again and again while it makes sense, always the same: a request id is
  /// in the closure. `then` runs once.
  func ask<Answer>(
    attempts: Int = 20, _ serve: @escaping (CoordinatorProcess) throws -> Answer,
    then: @escaping (Result<Answer, DFSError>) -> Void
  ) {
    func again(_ error: DFSError) {
      guard attempts > 1 else { return then(.failure(error)) }
      world.schedule(after: world.span(.milliseconds(200), .seconds(4))) { [self] in
        ask(attempts: attempts - 1, serve, then: then)
      }
    }
    guard let coordinator = world.coordinatorFound(by: host) else {
      return again(DFSError(.unavailable, "no coordinator is found"))
    }
    world.call(from: host, to: coordinator.host, timeout: .seconds(10)) { answer in
      answer(coordinator.answer { (try serve(coordinator), coordinator.namespace.revision) })
    } then: { [self] (result: Result<(Answer, Revision), DFSError>) in
      switch result {
      case .success(let (answer, revision)):
        seen = max(seen, revision)
        then(.success(answer))
      case .failure(let error):
        switch error.code {
        case .unavailable, .deadlineExceeded: again(error)
        case .outcomeUnknown where error.metadata["floor"] == nil: again(error)
        case .stale where error.metadata["revision"] != nil && error.metadata["group"] == nil:
          // The namespace went back in time: what this client knew is not so any more.
          seen = .zero
          then(.failure(error))
        default: then(.failure(error))
        }
      }
    }
  }

  // MARK: Names

  private func rename() {
    let (source, target) = (
      world.scenario.somePath(&world.random), world.scenario.somePath(&world.random)
    )
    let id = requestID()
    ask {
      try $0.mutate(Rename(source: source, target: target, existing: .replace), id: id).outcome
    } then: { [world] result in
      if case .success = result { world.tally.add("renames") }
    }
  }

  private func remove() {
    let (path, id) = (world.scenario.somePath(&world.random), requestID())
    let disposal: Disposal = world.chance(200) ? .now : .trash
    ask {
      try $0.mutate(Remove(path: path, scope: .fileOrEmptyDirectory, disposal: disposal), id: id).outcome
    } then: { [world] result in
      if case .success = result { world.tally.add("removals") }
    }
  }

  /// Has something back out of the trash, under its old name or another one.
  private func undelete() {
    let place = world.number()
    ask(attempts: 3) {
      try $0.namespace.view().trash(limit: 50).entries
    } then: { [self] result in
      guard case .success(let entries) = result, !entries.isEmpty else { return }
      let (deletion, id) = (entries[Int(place % UInt64(entries.count))].deletion, requestID())
      let target = world.chance(500) ? nil : world.scenario.somePath(&world.random)
      world.schedule(after: world.around(.seconds(20))) { [self] in
        ask {
          try $0.mutate(Undelete(deletion: deletion, target: target), id: id).outcome
        } then: {
          [world] result in
          if case .success = result { world.tally.add("undeletions") }
        }
      }
    }
  }

  private func removeTree() {
    guard let directory = world.scenario.somePath(&world.random).parent, !directory.isRoot else { return }
    let id = requestID()
    ask {
      try $0.mutate(Remove(path: directory, scope: .tree), id: id).outcome
    } then: { [self] result in
      if case .success = result { world.tally.add("trees removed") }
      makeDirectories()
    }
  }

  /// The directories that `somePath` names.
  func makeDirectories(then: @escaping () -> Void = {}) {
    for directory in world.scenario.directories {
      let id = requestID()
      let policy = world.scenario.ownReplicas["\(directory)"].map { PlacementPolicy(replicas: $0) }
      ask {
        try $0.mutate(
          MakeDirectory(
            path: directory, parents: .make, attributes: CoordinatorProcess.attributes, policy: policy),
          id: id
        ).outcome
      } then: { _ in
        then()
      }
    }
  }
}

extension Scenario {
  var directories: [RemotePath] { ["/a", "/b", "/a/deep"].compactMap { try? RemotePath($0) } }

  /// A name out of a few, so that operations meet.
  func somePath(_ random: inout SeededGenerator) -> RemotePath {
    let directory = directories[Int.random(in: 0..<directories.count, using: &random)]
    let name = "f\(Int.random(in: 0..<names, using: &random))"
    guard let path = try? RemotePath("\(directory)/\(name)") else { preconditionFailure("a plain name") }
    return path
  }
}
