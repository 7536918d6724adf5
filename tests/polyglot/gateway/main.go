// A grpc-gateway for all services, with the settings of docs/gateways.md: gateway UPSTREAM.
// It prints the address where it listens.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/textproto"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/httpbody"
	// Only error details whose types are linked in can be written as JSON.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	spanloom "example.com/gateway/spanloom/v1"
)

const largestMessage = 64 << 20

type register func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error

var services = []register{
	spanloom.RegisterAgentChatServiceHandler,
	spanloom.RegisterAgentSpanServiceHandler,
	spanloom.RegisterAttachmentServiceHandler,
	spanloom.RegisterCatalogArrayServiceHandler,
	spanloom.RegisterCatalogServiceHandler,
	spanloom.RegisterChatServiceHandler,
	spanloom.RegisterDatapointServiceHandler,
	spanloom.RegisterDatasetServiceHandler,
	spanloom.RegisterEvaluatorServiceHandler,
	spanloom.RegisterEventServiceHandler,
	spanloom.RegisterExperimentServiceHandler,
	spanloom.RegisterFeedbackServiceHandler,
	spanloom.RegisterFileServiceHandler,
	spanloom.RegisterJaegerServiceHandler,
	spanloom.RegisterJaegerV3ServiceHandler,
	spanloom.RegisterKeyServiceHandler,
	spanloom.RegisterPriceServiceHandler,
	spanloom.RegisterProjectServiceHandler,
	spanloom.RegisterPromptServiceHandler,
	spanloom.RegisterQueryServiceHandler,
	spanloom.RegisterReviewServiceHandler,
	spanloom.RegisterRunServiceHandler,
	spanloom.RegisterSessionServiceHandler,
	spanloom.RegisterSpanServiceHandler,
	spanloom.RegisterTraceServiceHandler,
	// The mux asks the handler first that was added last: GET /v1/traces/{trace_id}:otlp has to come
	// before GET /v1/traces/{trace_id}.
	spanloom.RegisterTraceExportServiceHandler,
}

// The headers that Spanloom reads, besides authorization, which is always forwarded.
func forwarded(name string) (string, bool) {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Wandb-Api-Key", "X-Request-Id", "X-Spanloom-Project":
		return name, true
	}
	return runtime.DefaultHeaderMatcher(name)
}

// The headers of an answer that Spanloom's REST has, without the prefix Grpc-Metadata-.
func returned(name string) (string, bool) {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "X-Request-Id", "X-Total-Is-Lower-Bound":
		return name, true
	}
	return "", false
}

// The media type of an attachment, which the mux looks for in whole messages only.
func mediaType(_ context.Context, answer http.ResponseWriter, message proto.Message) error {
	if whole, ok := message.(interface{ GetContent() *httpbody.HttpBody }); ok {
		answer.Header().Set("Content-Type", whole.GetContent().GetContentType())
	}
	return nil
}

func main() {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
			Marshaler: &runtime.JSONPb{
				MarshalOptions:   protojson.MarshalOptions{EmitDefaultValues: true},
				UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
			},
		}),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithIncomingHeaderMatcher(forwarded),
		runtime.WithOutgoingHeaderMatcher(returned),
		runtime.WithForwardResponseOption(mediaType),
	)
	upstream, err := grpc.NewClient(
		os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(largestMessage), grpc.MaxCallSendMsgSize(largestMessage)),
	)
	if err != nil {
		log.Fatal(err)
	}
	for _, service := range services {
		if err := service(context.Background(), mux, upstream); err != nil {
			log.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
