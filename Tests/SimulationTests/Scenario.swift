import DFSCore
import DFSMetadata
import TestSupport

@testable import DFSCoordinator

/// What a world is made of and what happens in it.
struct Scenario {
  /// How time is spent.
  enum Pace {
    /// Every heartbeat and every step of a job is an event.
    case dense
    /// Heartbeats happen where somebody would notice their absence: for months.
    case sparse
  }

  var pace = Pace.dense
  var machines = 6
  /// Names of zones, given in turn; none: each node is a zone of its own.
  var zones = 3
  var replicas: UInt8 = 3
  /// Directories with a policy of their own.
  var ownReplicas: [String: UInt8] = [:]
  var slotsPerNode = 12
  var fewestGroups = 8
  /// Files in each directory.
  var names = 12
  /// The storm, and then the time to come to rest.
  var storm = Span.minutes(30)
  /// Half as long again in all: a node that came and went is on probation for up to half an hour.
  var rest = Span.minutes(24)
  var faults = FaultRates()
  var workload = WorkloadRates()
  var planted = PlantedFaults()
  /// Several coordinators over one ledger, instead of one that stands alone.
  var hasStandbys = false
  /// Whether the cluster is to be whole at rest.
  var heals = true
  var sweepPeriod = Span.minutes(10)
  /// How long removed files can be had back.
  var trash = Span.minutes(3)
  /// Of a thousand disks: have a real chunk store.
  var realStores = 0
  /// What a node says that its disk holds.
  var capacity = ByteCount.gib(100)

  func coordinatorConfiguration(_ clock: ManualClock) -> CoordinatorConfiguration {
    var configuration = CoordinatorConfiguration(
      data: "", server: .init(listen: [Endpoint(host: "c", port: 1)]))
    configuration.namespace.elapsed = { clock.now.offset }
    configuration.namespace.wallTime = { FileTime(rawValue: 1_700_000_000_000_000_000) }
    configuration.namespace.randomNumber = { 77 }
    configuration.policy = PlacementPolicy(replicas: replicas)
    configuration.placement.slotsPerNode = slotsPerNode
    configuration.placement.fewestGroups = fewestGroups
    configuration.settleTime = .zero
    configuration.namespace.trashRetention = trash.duration
    return configuration
  }
}

/// Faults that the scenario is to have: means of the times between two of a kind, or nothing.
struct FaultRates {
  /// Of a thousand.
  var lostMessages = 0
  var doubledRequests = 0
  /// Of a million settlements: the coordinator does not learn the outcome, and dies of it.
  var lostSettlements = 0
  /// The mean time between two faults of any kind.
  var every: Span?
  /// Kinds and their weights.
  var kinds: [(FaultKind, Int)] = []
}

struct WorkloadRates {
  var clients = 3
  /// The mean time between two operations of a client.
  var every = Span.seconds(10)
  var mostChunks = 6
  /// Of a thousand uploads: last for hours, or are left alone.
  var slow = 100
  var abandoned = 80
  /// Of a thousand uploads: have several segments.
  var long = 0
}
