// Package inline is how the traffic of real services gets to the box, besides the
// lab: a command in a namespace of its own, virtual addresses in front of services, or
// a namespace in which a service runs already.
//
// Every way in gives the box two devices, and one view of each connection: the client
// behind the one, the server behind the other.
package inline
