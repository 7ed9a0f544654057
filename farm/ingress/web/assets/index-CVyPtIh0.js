const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["assets/create-DcXDeed1.js","assets/jsxRuntime-CMeArPM-.js","assets/queue-CTgJQ8HI.js","assets/actions-CeKFul2a.js","assets/progress-Oqwi9b-L.js","assets/library-Bqf0jkvH.js","assets/video-B6Hhq59p.js","assets/workers-BEOHLKxt.js"])))=>i.map(i=>d[i]);
import{C as e,S as t,_ as n,a as r,b as i,c as a,d as o,f as s,g as c,h as l,l as u,m as ee,n as te,p as d,s as ne,t as f,u as p,v as re,w as m,x as h,y as g}from"./jsxRuntime-CMeArPM-.js";var _,v;function ie(e){return!v||(typeof v==`string`?e.startsWith(v):v.test(e))}function ae(e,t){let n=``;if(_=void 0,t&&t.type===`click`){if(t.ctrlKey||t.metaKey||t.altKey||t.shiftKey||t.button!==0)return e;let r=t.composedPath().find(e=>e.nodeName==`A`&&e.href),i=r&&r.getAttribute(`href`);if(!r||r.origin!=location.origin||/^#/.test(i)||!/^(_?self)?$/i.test(r.target)||!ie(i)||r.download)return e;_=!0,t.preventDefault(),n=r.href.replace(location.origin,``)}else t&&t.url?(_=!t.replace,n=t.url):n=location.pathname+location.search;return _===!0?history.pushState(null,``,n):_===!1&&history.replaceState(null,``,n),n}var oe=(e,t,n={})=>{e=e.split(`/`).filter(Boolean),t=(t||``).split(`/`).filter(Boolean),n.params||={};for(let r=0,i,a;r<Math.max(e.length,t.length);r++){let[,o,s,c]=(t[r]||``).match(/^(:?)(.*?)([+*?]?)$/);if(i=e[r],o||s!=i){if(!o&&i&&c==`*`){n.rest=`/`+e.slice(r).join(`/`);break}if(!o||!i&&c!=`?`&&c!=`*`)return;if(a=c==`+`||c==`*`,a?i=e.slice(r).map(decodeURIComponent).join(`/`)||void 0:i&&=decodeURIComponent(i),n.params[s]=i,s in n||(n[s]=i),a)break}}return n};function y(e){let[t,n]=s(ae,e.url||location.pathname+location.search);e.scope&&(v=e.scope);let r=_===!0,i=l(()=>{let e=new URL(t,location.origin),i=e.pathname.replace(/\/+$/g,``)||`/`;return{url:t,path:i,query:Object.fromEntries(e.searchParams),route:(e,t)=>n({url:e,replace:t}),back:()=>{history.back()},forward:()=>{history.forward()},wasPush:r}},[t]);return u(()=>(addEventListener(`click`,n),addEventListener(`popstate`,n),()=>{removeEventListener(`click`,n),removeEventListener(`popstate`,n)}),[]),h(y.ctx.Provider,{value:i},e.children)}var se=Promise.resolve();function ce(e){let[t,r]=s(e=>e+1,0),{url:a,query:c,wasPush:te,path:d}=pe();if(!a)throw Error(`preact-iso's <Router> must be used within a <LocationProvider>, see: https://github.com/preactjs/preact-iso#locationprovider`);let{rest:ne=d,params:f={}}=ee(fe),p=o(!1),re=o(d),m=o(1),g=o(),_=o(),v=o(),ie=o(!1),ae=o();ae.current=!1;let y,ce,b;n(e.children).some(e=>{if(oe(ne,e.props.path,b={...e.props,path:ne,query:c,params:Object.assign({},f),rest:``}))return y=i(e,b);e.props.default&&(ce=i(e,b))});let x=y||ce,me=g.current&&g.current.__u&le&&g.current.__u&ue,S=g.current&&g.current.__h,he=l(()=>{_.current=g.current,g.current=h(fe.Provider,{value:b},x);let e=_.current&&_.current.props.children;return!e||!x||x.type!==e.type||x.props.component!==e.props.component?(m.current++,!0):!1},[a,JSON.stringify(b)]);me?(g.current.__u|=le,g.current.__u|=ue):S&&(g.current.__h=!0);let ge=_.current;return _.current=null,this.__c=(t,n)=>{ae.current=!0,_.current=ge,e.onLoadStart&&e.onLoadStart(a),p.current=!0;let i=m.current;t.then(()=>{i===m.current&&(_.current=null,g.current&&(n.__h&&(g.current.__h=n.__h),n.__u&ue&&(g.current.__u|=ue),n.__u&le&&(g.current.__u|=le)),se.then(r))})},u(()=>{let t=this.__v&&this.__v.__e;ae.current?!ie.current&&!v.current&&(v.current=t):(!ie.current&&v.current&&(v.current!==t&&v.current.remove(),v.current=null),ie.current=!0,re.current!==d&&(te&&scrollTo(0,0),e.onRouteChange&&e.onRouteChange(a),re.current=d),e.onLoadEnd&&p.current&&e.onLoadEnd(a),p.current=!1)},[d,te,t]),he?[h(de,{r:g,key:m.current}),h(de,{r:_,key:m.current-1})]:h(de,{r:g,key:m.current})}var le=32,ue=128,de=({r:e})=>e.current;ce.Provider=y,y.ctx=g({});var fe=g({}),b=e=>h(e.component,e),pe=()=>ee(y.ctx),x=()=>ee(fe),me=t.__b;t.__b=e=>{e.type&&e.type._forwarded&&e.ref&&(e.props.ref=e.ref,e.ref=null),me&&me(e)};function S(e){let t,n,r=()=>e().then(e=>n=e&&e.default||e),i=e=>{let[,i]=d(0),a=o(n);if(t||=r(),n!==void 0)return h(n,e);throw a.current||=t.then(()=>i(1)),t};return i.preload=()=>(t||=r(),t),i._forwarded=!0,i}var he=t.__e;t.__e=(e,t,n)=>{if(e&&e.then){let r=t;for(;r=r.__;)if(r.__c&&r.__c.__c)return t.__e??(t.__c.__z=[n.__e],t.__e=n.__e,t.__k=n.__k),t.__k||=[],r.__c.__c(e,t)}he&&he(e,t,n)};function ge(e){return this.__c=_e,this.componentDidCatch=e.onError,e.children}function _e(e){e.then(()=>this.forceUpdate())}var ve=(function(){let e=typeof document<`u`&&document.createElement(`link`).relList;return e&&e.supports&&e.supports(`modulepreload`)?`modulepreload`:`preload`})(),ye=function(e){return`/ui/`+e},be={},xe=function(e){return e.pathname.endsWith(`.css`)},Se=function(e,t,n){if(t in e)return e[t];let r=n();if(!r){e[t]=void 0;return}let i=r.then(()=>{e[t]=void 0},n=>{throw e[t]=void 0,n});return e[t]=i,i},C=function(e,t,n){let r=Promise.resolve();if(t&&t.length>0){let e,i=document.querySelector(`meta[property=csp-nonce]`),a=i?.nonce||i?.getAttribute(`nonce`);function o(e){return Promise.all(e.map(e=>Promise.resolve(e).then(e=>({status:`fulfilled`,value:e}),e=>({status:`rejected`,reason:e}))))}function s(e){return import.meta.resolve?new URL(import.meta.resolve(e)):new URL(e,import.meta.url)}r=o(t.map(t=>{t=ye(t,n);let r=s(t),i=xe(r);return Se(be,r.href,()=>{if(e===void 0){e={all:new Set,styles:new Set};let t=document.getElementsByTagName(`link`);for(let n=t.length-1;n>=0;n--){let r=t[n];e.all.add(r.href),r.rel===`stylesheet`&&e.styles.add(r.href)}}if((i?e.styles:e.all).has(r.href))return;let t=document.createElement(`link`);if(t.rel=i?`stylesheet`:ve,i||(t.as=`script`),t.crossOrigin=``,t.href=r.href,a&&t.setAttribute(`nonce`,a),document.head.appendChild(t),i)return new Promise((e,n)=>{let i=a=>{t.removeEventListener(`load`,i),t.removeEventListener(`error`,i),a.type===`error`?n(Error(`Unable to preload CSS for ${r}`)):e(a)};t.addEventListener(`load`,i),t.addEventListener(`error`,i)})})}).filter(e=>e!==void 0))}function i(e){let t=new Event(`vite:preloadError`,{cancelable:!0});if(t.payload=e,window.dispatchEvent(t),!t.defaultPrevented)throw e}return r.then(t=>{for(let e of t||[])e.status===`rejected`&&i(e.reason);return e().catch(i)})},Ce=Symbol.for(`preact-signals`);function we(){if(O>1)O--;else{var e,t=!1;for((function(){var e=A;for(A=void 0;e!==void 0;){var t=e.S;if(t.v===e.v)for(var n=t.t;n!==void 0;n=n.x)n.i===e.i&&(n.i=t.i);e=e.o}})();D!==void 0;){var n=D;for(D=void 0,k++;n!==void 0;){var r=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&Ae(n))try{n.c()}catch(n){t||=(e=n,!0)}n=r}}if(k=0,O--,t)throw e}}function Te(e){if(O>0)return e();De=++Ee,O++;try{return e()}finally{we()}}var w,T=void 0;function E(e){var t=T,n=w;T=void 0,w=void 0;try{return e()}finally{T=t,w=n}}var D=void 0,O=0,k=0,Ee=0,De=0,A=void 0,Oe=0;function ke(e){if(T!==void 0){var t=e.n;if(t===void 0||t.t!==T)return t={i:0,S:e,p:T.s,n:void 0,t:T,e:void 0,x:void 0,r:t},T.s!==void 0&&(T.s.n=t),T.s=t,e.n=t,32&T.f&&e.S(t),t;if(t.i===-1)return t.i=0,t.n!==void 0&&(t.n.p=t.p,t.p!==void 0&&(t.p.n=t.n),t.p=T.s,t.n=void 0,T.s.n=t,T.s=t),t}}function j(e,t){this.v=e,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=t?.watched,this.Z=t?.unwatched,this.name=t?.name}j.prototype.brand=Ce,j.prototype.h=function(){return!0},j.prototype.S=function(e){var t=this,n=this.t;n!==e&&e.e===void 0&&(e.x=n,this.t=e,n===void 0?E(function(){var e;(e=t.W)==null||e.call(t)}):n.e=e)},j.prototype.U=function(e){var t=this;if(this.t!==void 0){var n=e.e,r=e.x;n!==void 0&&(n.x=r,e.e=void 0),r!==void 0&&(r.e=n,e.x=void 0),e===this.t&&(this.t=r,r===void 0&&E(function(){var e;(e=t.Z)==null||e.call(t)}))}},j.prototype.subscribe=function(e){var t=this;return I(function(){var n=t.value;E(function(){return e(n)})},{name:`sub`})},j.prototype.valueOf=function(){return this.value},j.prototype.toString=function(){return this.value+``},j.prototype.toJSON=function(){return this.value},j.prototype.peek=function(){var e=this;return E(function(){return e.value})},Object.defineProperty(j.prototype,"value",{get:function(){var e=ke(this);return e!==void 0&&(e.i=this.i),this.v},set:function(e){if(e!==this.v){if(k>100)throw Error(`Cycle detected`);(function(e){O!==0&&k===0&&e.l!==De&&(e.l=De,A={S:e,v:e.v,i:e.i,o:A})})(this),this.v=e,this.i++,Oe++,O++;try{for(var t=this.t;t!==void 0;t=t.x)t.t.N()}finally{we()}}}});function M(e,t){return new j(e,t)}function Ae(e){for(var t=e.s;t!==void 0;t=t.n)if(t.S.i!==t.i||!t.S.h()||t.S.i!==t.i)return!0;return!1}function je(e){for(var t=e.s;t!==void 0;t=t.n){var n=t.S.n;if(n!==void 0&&(t.r=n),t.S.n=t,t.i=-1,t.n===void 0){e.s=t;break}}}function Me(e){for(var t=e.s,n=void 0;t!==void 0;){var r=t.p;t.i===-1?(t.S.U(t),r!==void 0&&(r.n=t.n),t.n!==void 0&&(t.n.p=r)):n=t,t.S.n=t.r,t.r!==void 0&&(t.r=void 0),t=r}e.s=n}function N(e,t){j.call(this,void 0,t),this.x=e,this.s=void 0,this.g=Oe-1,this.f=4}N.prototype=new j,N.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===Oe))return!0;if(this.g=Oe,this.f|=1,this.i>0&&!Ae(this))return this.f&=-2,!0;var e=T;try{je(this),T=this;var t=this.x();(16&this.f||this.v!==t||this.i===0)&&(this.v=t,this.f&=-17,this.i++)}catch(e){this.v=e,this.f|=16,this.i++}return T=e,Me(this),this.f&=-2,!0},N.prototype.S=function(e){if(this.t===void 0){this.f|=36;for(var t=this.s;t!==void 0;t=t.n)t.S.S(t)}j.prototype.S.call(this,e)},N.prototype.U=function(e){if(this.t!==void 0&&(j.prototype.U.call(this,e),this.t===void 0)){this.f&=-33;for(var t=this.s;t!==void 0;t=t.n)t.S.U(t)}},N.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var e=this.t;e!==void 0;e=e.x)e.t.N()}},Object.defineProperty(N.prototype,"value",{get:function(){if(1&this.f)throw Error(`Cycle detected`);var e=ke(this);if(this.h(),e!==void 0&&(e.i=this.i),16&this.f)throw this.v;return this.v}});function P(e,t){return new N(e,t)}function Ne(e){var t=e.j;if(e.j=void 0,typeof t==`function`){O++;var n=T;T=void 0;try{t()}catch(t){throw e.f&=-2,e.f|=8,Pe(e),t}finally{T=n,we()}}}function Pe(e){for(var t=e.s;t!==void 0;t=t.n)t.S.U(t);e.x=void 0,e.s=void 0,Ne(e)}function Fe(e){if(T!==this)throw Error(`Out-of-order effect`);Me(this),T=e,this.f&=-2;try{8&this.f&&Pe(this)}finally{we()}}function F(e,t){this.x=e,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=t?.name,w&&w.push(this)}F.prototype.c=function(){var e=this.S();try{if(8&this.f||this.x===void 0)return;var t=this.x();typeof t==`function`&&(this.j=t)}finally{e()}},F.prototype.S=function(){if(1&this.f)throw Error(`Cycle detected`);this.f|=1,this.f&=-9,Ne(this),je(this),O++;var e=T;return T=this,Fe.bind(this,e)},F.prototype.N=function(){2&this.f||(this.f|=2,this.u=D,D=this)},F.prototype.d=function(){this.f|=8,1&this.f||Pe(this)},F.prototype.dispose=function(){this.d()};function I(e,t){var n=new F(e,t);try{n.c()}catch(e){throw n.d(),e}var r=n.d.bind(n);return r[Symbol.dispose]=r,r}var Ie,L,R,Le=typeof window<`u`&&!!window.__PREACT_SIGNALS_DEVTOOLS__,Re=[];I(function(){Ie=this.N})();function z(e,n){t[e]=n.bind(null,t[e]||function(){})}function B(e){if(R){var t=R;R=void 0,t()}R=e&&e.S()}function ze(t){var n=this,r=t.data,i=V(r);i.name=`ReactiveDom`,i.value=r;var a=l(function(){for(var t=n,r=n.__v;r=r.__;)if(r.__c){r.__c.__$f|=4;break}var a=P(function(){var e=i.value.value;return e===0?0:!0===e?``:e||``}),o=P(function(){return!Array.isArray(a.value)&&!e(a.value)}),s=I(function(){if(this.N=We,o.value){var e=a.value;t.__v&&t.__v.__e&&t.__v.__e.nodeType===3&&(t.__v.__e.data=e)}}),c=n.__$u.d;return n.__$u.d=function(){s(),c.call(this)},[o,a]},[]),o=a[0],s=a[1];return o.value?s.peek():s.value}ze.displayName=`ReactiveTextNode`,Object.defineProperties(j.prototype,{constructor:{configurable:!0,value:h(c,null).constructor},type:{configurable:!0,value:ze},props:{configurable:!0,get:function(){var e=this;return{data:{get value(){return e.value}}}}},__b:{configurable:!0,value:1}}),z(`__b`,function(e,t){if(B(),L=void 0,typeof t.type==`string`){var n,r=t.props;for(var i in r)if(i!==`children`){var a=r[i];a instanceof j&&(n||(t.__np=n={}),n[i]=a,r[i]=a.peek())}}e(t)}),z(`__r`,function(e,t){if(e(t),t.type!==c){B();var n,r=t.__c;r&&(r.__$f&=-2,(n=r.__$u)===void 0&&(r.__$u=n=function(e,t){var n;return I(function(){n=this},{name:t}),n.c=e,n}(function(e){return function(){var t;Le&&((t=this.y)==null||t.call(this)),e.__$f|=1,e.setState({})}}(r),typeof t.type==`function`?t.type.displayName||t.type.name:``))),L=r,B(n)}}),z(`__e`,function(e,t,n,r){B(),L=void 0,e(t,n,r)}),z(`diffed`,function(e,t){B(),L=void 0;var n;if(typeof t.type==`string`&&(n=t.__e)){var r=t.__np,i=t.props,a=n.U;if(a)for(var o in a){var s=a[o];s===void 0||r&&o in r||(s.d(),a[o]=void 0)}if(r)for(var c in a||(a={},n.U=a),r){var l=a[c],u=r[c];l===void 0?(l=Be(n,c,u,i),a[c]=l):l.o(u,i)}}e(t)});function Be(e,t,n,r){var i=t in e&&e.ownerSVGElement===void 0,a=M(n);return{o:function(e,t){a.value=e,r=t},d:I(function(){this.N=We;var n=a.value.value;r[t]!==n&&(r[t]=n,i?e[t]=n:n!=null&&(!1!==n||t[4]===`-`)?e.setAttribute(t,n):e.removeAttribute(t))})}}z(`unmount`,function(e,t){if(typeof t.type==`string`){var n=t.__e;if(n){var r=n.U;if(r)for(var i in n.U=void 0,r){var a=r[i];a&&a.d()}}var o=t.__np;if(o){var s=t.props;for(var c in o)s[c]=o[c]}t.__np=void 0}else{var l=t.__c;if(l){l.__$f|=8;var u=l.__$u;u&&(l.__$u=void 0,u.d())}}e(t)}),z(`__h`,function(e,t,n,r){r<3&&(t.__$f|=2),e(t,n,r)}),m.prototype.shouldComponentUpdate=function(e,t){if(this.__R)return!0;var n=this.__$u,r=n&&n.s!==void 0;for(var i in t)return!0;if(this.__f||typeof this.u==`boolean`&&!0===this.u){var a=2&this.__$f;if(!(r||a||4&this.__$f)||1&this.__$f)return!0}else if(!(r||4&this.__$f)||3&this.__$f)return!0;for(var o in e)if(o!==`__source`&&e[o]!==this.props[o])return!0;for(var s in this.props)if(!(s in e))return!0;return!1};function V(e,t){return l(function(){return M(e,t)},[])}function Ve(e,t){var n=o(e);return n.current=e,L.__$f|=4,l(function(){return P(function(){return n.current()},t)},[])}var He=function(e){queueMicrotask(function(){queueMicrotask(e)})};function Ue(){Te(function(){for(var e;e=Re.shift();)Ie.call(e)})}function We(){Re.push(this)===1&&(t.requestAnimationFrame||He)(Ue)}var H=(e,t,n)=>`${e} ${e===1?t:n}`,Ge=e=>e.length>60?`${e.slice(0,58)} …`:e,Ke={out_of_memory:`A smaller size needs less memory. Retry helps where a larger GPU has joined.`},U={farm:`framepack-farm`,away:`The farm does not answer, trying again.`,refused:e=>`The farm refused with status ${e} and gave no reason.`,loading:`Loading …`,main:`Main`,skip:`Skip to the content`,notHere:`There is nothing at this address.`,toCreate:`Make a video`,nav:{create:`Create`,queue:`Queue`,library:`Library`,workers:`Workers`},sound:`A sound when a video ends`,keys:{title:`Keys`,list:[[`?`,`show these keys`],[`1 2 3 4`,`go to Create, Queue, Library, Workers`],[`Ctrl Enter`,`Create: generate`],[`↑ ↓`,`Queue, on a handle: move the video up or down`],[`, .`,`Video: a frame back, a frame on`],[`K`,`Video: play or pause`],[`L`,`Video: loop`],[`F`,`Video: full screen`]]},signIn:{title:`Sign in`,text:`This farm asks for a key. Its operator makes one with “framefarm keys new NAME”.`,key:`API key`,act:`Sign in`,out:`Sign out`,as:e=>`Signed in as ${e}`},theme:{title:`Theme`,system:`As the system`,light:`Light`,dark:`Dark`},status:{queued:`waits`,in_progress:`runs`,paused:`is paused`,completed:`is ready`,failed:`has failed`,cancelled:`was cancelled`},act:{pause:`Pause`,resume:`Resume`,cancel:`Cancel`,edit:`Edit`,retry:`Retry`,delete:`Delete`,open:`Open`,save:`Save`,close:`Close`,copy:`Copy`,copied:`Copied`,undo:`Undo`,select:`Select`,star:`Star`,download:`Download`,done:`Done`,more:`More`},count:{sections:e=>H(e,`section`,`sections`),videos:e=>H(e,`video`,`videos`)},time:{left:e=>`about ${e} left`},done:{cancelled:(e,t)=>t?`“${Ge(t)}” was cancelled.`:`${e} videos were cancelled.`,deleted:e=>e===1?`The video was deleted.`:`${e} videos were deleted.`,refused:(e,t)=>e===1?t:`${e} were refused: ${t}`,ended:(e,t)=>`“${Ge(e)}” ${t}.`},progress:{name:`Progress`,section:(e,t)=>`section ${e} of ${t}`,step:(e,t)=>t?`step ${e} of ${t}`:`step ${e}`,stage:{encode:`reads the prompt and the picture`,section:`makes a section`,decode:`decodes`,finish:`joins the clips`},percent:e=>`${e} %`},delete:{title:e=>`Delete ${H(e,`video`,`videos`)}?`,more:e=>`and ${e} more`,text:`The farm erases everything that it keeps of them. This cannot be undone.`},failed:{at:(e,t)=>`Stopped at section ${e}: ${t}`,cancelled:(e,t)=>e?`Cancelled. ${e} of ${t} sections are kept.`:`Cancelled before it began.`,advice:e=>Ke[e]??`Retry goes on after the last finished section.`},library:{search:`Search`,show:`Show`,kinds:{all:`All`,starred:`Starred`,failed:`Failed`},model:`Model`,anyModel:`Any model`,length:`Length`,lengths:{"":`Any length`,short:`Under 3 s`,middle:`3 to 10 s`,long:`10 s and more`},order:`Order`,newest:`Newest first`,oldest:`Oldest first`,none:`No video has ended yet. What you make appears here.`,noneFound:`No video is like this.`,compare:`Compare`,compareHint:`Select two to nine finished videos.`,download:`Download`},player:{play:`Play`,pause:`Pause`,time:`Time`},workers:{none:`No worker is here. Videos wait until one comes; nothing is lost.`,waits:(e,t)=>`${H(e,`video waits`,`videos wait`)} for ${t}.`,lend:`Lend a GPU`,lendHow:`Type this on a machine with a GPU that reaches this one. It works for the farm until you stop it.`,join:e=>`framefarm join ${e}:6379`,pace:e=>`${e<10?e.toFixed(1):Math.round(e)} s a section`,hours:e=>`Works ${e} only.`,outsideHours:`outside its hours`,somebody:`a video of somebody else`,states:{idle:`waits for work`,busy:`works`,paused:`is paused`,draining:`drains`,drained:`is drained`},drain:`Drain`,order:{pause:`Pause`,resume:`Resume`,drain:`Drain`},sure:{pause:e=>`Pause ${e}?`,resume:e=>`Let ${e} work again?`,drain:e=>`Drain ${e}?`},explain:{pause:`It stops at its next step, keeps that step, and frees the memory of its GPU. Another worker goes on with the video.`,resume:`It takes the next work that waits.`,drain:`It keeps its last finished step and its process ends. No other starts in its place until you resume it.`}},queue:{running:`Running`,waiting:`Waiting`,paused:`Paused`,pauseAll:`Pause all mine`,cancelWaiting:`Cancel all waiting`,resumeAll:`Resume all`,filter:`Filter`,none:`Nothing waits. Drop a photo.`,noneFound:`No waiting video has these letters.`,priority:`Priority`,priorityHint:`From -10 to 10; higher ones go first.`,name:`Name`,prompt:`Prompt`,seed:e=>`seed ${e}`,seeds:e=>`${e} seeds`,next:`is next`,before:e=>`${e} before it`,waitsFor:e=>`waits for ${e}`,kept:(e,t)=>e?`${e} of ${t} sections are kept`:`not begun yet`,times:e=>`×${e}`,openBatch:e=>`Show the ${e} videos`,closeBatch:`Hide the videos`,place:e=>`place ${e}`,pick:e=>`Select ${Ge(e)}`,pickAll:e=>`All ${e}`,picked:e=>`${e} selected`,sureCancel:e=>`Cancel ${H(e,`waiting video`,`waiting videos`)}?`,sureCancelText:`The running video goes on. What was made of the others is kept until you delete them.`,dispatcherAway:e=>`The farm hands out no work at the moment: ${e}. Nothing is lost.`},create:{image:`Start image`,prompt:`Prompt`,generate:`Generate`,added:`It is in the queue.`,whatHappens:`What happens?`}},W=class extends Error{status;code;errors;retryAfterS;constructor(e,t,n,r=[],i=null){super(n),this.status=e,this.code=t,this.errors=r,this.retryAfterS=i}of(e){return this.errors.find(t=>t.field===e||t.field.startsWith(`${e}.`))?.message}},G=M(!1),K=M(!1),qe=[1,2,4,8,15],Je=`/v1/session`,Ye=[0,502,503,504];async function q(e,{method:t=`GET`,body:n,signal:r,insist:i=t===`GET`}={}){let a=new Headers({Accept:`application/json`}),o=n instanceof FormData||n instanceof Blob;n&&!o&&a.set(`Content-Type`,`application/json`),t===`POST`&&i&&a.set(`Idempotency-Key`,et());let s={method:t,headers:a,credentials:`same-origin`};n&&(s.body=o?n:JSON.stringify(n)),r&&(s.signal=r);for(let t=0;;t++)try{return await Ze(e,s)}catch(n){if(!(n instanceof W))throw n;if(n.status===401&&e!==Je){K.value=!0,await Qe(r);continue}if(!i||!Ye.includes(n.status))throw n;await tt(qe[Math.min(t,qe.length-1)]*1e3,r)}}var Xe=(e,t,n)=>q(e,{method:`POST`,body:t,insist:!0,...n&&{signal:n}});async function Ze(e,t){let n;try{n=await fetch(e,t)}catch(e){throw t.signal?.aborted?e:(G.value=!0,new W(0,`away`,U.away))}if(G.value=Ye.includes(n.status),!n.ok)throw await $e(n);return n.status===204?void 0:await n.json()}function Qe(e){return new Promise((t,n)=>{e?.addEventListener(`abort`,()=>n(e.reason),{once:!0});let r=K.subscribe(e=>{e||queueMicrotask(()=>(r(),t()))})})}async function $e(e){let t=Number.parseInt(e.headers.get(`Retry-After`)??``,10),n=await e.json().catch(()=>({})),r=typeof n.detail==`string`?n.detail:U.refused(e.status);return new W(e.status,n.code??`http_${e.status}`,r,n.errors??[],Number.isNaN(t)?null:t)}var et=()=>Array.from(crypto.getRandomValues(new Uint8Array(16)),e=>e.toString(16).padStart(2,`0`)).join(``);function tt(e,t){return new Promise((n,r)=>{t?.throwIfAborted();let i=setTimeout(n,e);t?.addEventListener(`abort`,()=>(clearTimeout(i),r(t.reason)),{once:!0})})}var nt={hello:null,farm:{dispatcher:`ok`,store:`ok`},videos:new Map,queue:[],workers:new Map,previews:new Map};function rt(e,t){switch(t.kind){case`hello`:return{...e,hello:t.data,workers:new Map};case`reset`:return{...e,queue:[],previews:new Map};case`video`:return ot(e,t.data);case`progress`:return st(e,t.data);case`queue`:return ct(e,t.data.ids,t.data.positions);case`gone`:return t.data.object===`worker`?{...e,workers:lt(e.workers,t.data.id)}:{...e,videos:lt(e.videos,t.data.id),previews:lt(e.previews,t.data.id)};case`worker`:return{...e,workers:new Map(e.workers).set(t.data.id,t.data)};case`farm`:return{...e,farm:t.data};case`preview`:return{...e,previews:new Map(e.previews).set(t.data.id,t.data)}}}function it(e,t,n=!1){let i=new Map(n?[...e.videos].filter(([,e])=>!r(e)):e.videos);for(let n of t)i.set(n.id,at(e.videos.get(n.id),n));return{...e,videos:i}}function at(e,t){return t.request||!e?.request?t:{...t,request:{...e.request,prompt:t.prompt,name:t.name}}}var ot=(e,t)=>({...e,videos:new Map(e.videos).set(t.id,at(e.videos.get(t.id),t)),previews:r(t)?e.previews:lt(e.previews,t.id)});function st(e,{id:t,...n}){let r=e.videos.get(t);return r?{...e,videos:new Map(e.videos).set(t,{...r,...n})}:e}function ct(e,t,n){let r=new Map(e.videos);return t.forEach((e,t)=>{let[i,a]=[r.get(e),n[t]??null];i&&i.queue_position!==a&&r.set(e,{...i,queue_position:a})}),{...e,queue:t,videos:r}}function lt(e,t){if(!e.has(t))return e;let n=new Map(e);return n.delete(t),n}function ut(e){let t=new Map(e.queue.map((e,t)=>[e,t])),n=n=>t.get(n.id)??e.queue.length+n.created_at;return[...e.videos.values()].filter(e=>e.status===`queued`).sort((e,t)=>n(e)-n(t))}var dt=(e,t)=>[...e.videos.values()].filter(e=>e.status===t).sort((e,t)=>e.created_at-t.created_at),J=M(nt),ft=M(!1),pt=e=>{J.value=rt(J.value,e)},mt=(e,t=!1)=>{J.value=it(J.value,e,t)},ht=()=>{J.value=nt,ft.value=!1},gt=P(()=>dt(J.value,`in_progress`)),_t=P(()=>ut(J.value)),vt=P(()=>dt(J.value,`paused`)),yt=P(()=>[...J.value.workers.values()].sort((e,t)=>e.id.localeCompare(t.id))),bt=P(()=>gt.value.length+_t.value.length+vt.value.length),xt=P(()=>{let e=yt.value.filter(e=>e.state===`idle`||e.state===`busy`).length;return yt.value.length?`${e}/${yt.value.length}`:``}),St=P(()=>[[gt.value[0]&&`${gt.value[0].progress} %`,_t.value.length&&`${_t.value.length} wait`].filter(Boolean).join(` · `),`framepack-farm`].filter(Boolean).join(` – `)),Ct=`framefarm-sound`,Y=M(localStorage.getItem(Ct)===`on`),wt=M(``),X=null;function Tt(){Y.value=!Y.value,localStorage.setItem(Ct,Y.value?`on`:`off`),Y.value&&Et()}function Et(){X??=new AudioContext;for(let[e,t]of[[0,660],[.14,880]]){let[n,r]=[X.createOscillator(),X.createGain()],i=X.currentTime+e;n.frequency.value=t,r.gain.setValueAtTime(.12,i),r.gain.exponentialRampToValueAtTime(.001,i+.4),n.connect(r).connect(X.destination),n.start(i),n.stop(i+.4)}}function Dt(e,t){return e===t?[]:[...t.values()].filter(t=>!r(t)&&r(e.get(t.id)??t))}var Ot=[`completed`,`failed`];function kt(){let e=J.peek().videos;I(()=>{let t=J.value.videos,n=Dt(e,t).filter(e=>Ot.includes(e.status));e=t,n.length&&(wt.value=n.map(e=>U.done.ended(ne(e),U.status[e.status])).join(` `),Y.peek()&&Et())})}var At=M(null),jt;function Mt(e,t={}){clearTimeout(jt),At.value={text:e,...t},jt=setTimeout(()=>At.value=null,t.isBad?1e4:5e3)}function Nt(){let e=At.value;return f(`div`,{class:`toasts`,role:`status`,children:e&&f(`div`,{class:`toast ${e.isBad?`bad`:``}`,children:[f(`span`,{children:e.text}),e.undo&&f(`button`,{class:`quiet`,onClick:()=>{At.value=null,e.undo?.()},children:U.act.undo})]})})}var Pt={keyboard:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-keyboard"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M10 8h.01" />
  <path d="M12 12h.01" />
  <path d="M14 8h.01" />
  <path d="M16 12h.01" />
  <path d="M18 8h.01" />
  <path d="M6 8h.01" />
  <path d="M7 16h10" />
  <path d="M8 12h.01" />
  <rect width="20" height="16" x="2" y="4" rx="2" />
</svg>
`,silent:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-volume-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11 4.702a.7.7 0 0 0-1.203-.498L6.413 7.587A1.4 1.4 0 0 1 5.416 8H3a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2.416a1.4 1.4 0 0 1 .997.413l3.383 3.384A.7.7 0 0 0 11 19.298z" />
  <path d="m16.5 14.5 5-5" />
  <path d="m16.5 9.5 5 5" />
</svg>
`,sound:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-volume-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11 4.702a.705.705 0 0 0-1.203-.498L6.413 7.587A1.4 1.4 0 0 1 5.416 8H3a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2.416a1.4 1.4 0 0 1 .997.413l3.383 3.384A.705.705 0 0 0 11 19.298z" />
  <path d="M16 9a5 5 0 0 1 0 6" />
  <path d="M19.364 18.364a9 9 0 0 0 0-12.728" />
</svg>
`,check:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-check"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20 6 9 17l-5-5" />
</svg>
`,columns:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-columns-3"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M9 3v18" />
  <path d="M15 3v18" />
</svg>
`,copy:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-copy"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="14" height="14" x="8" y="8" rx="2" ry="2" />
  <path d="M4 16c-1.1 0-2-.9-2-2V4c0-1.1.9-2 2-2h10c1.1 0 2 .9 2 2" />
</svg>
`,cpu:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-cpu"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 20v2" />
  <path d="M12 2v2" />
  <path d="M17 20v2" />
  <path d="M17 2v2" />
  <path d="M2 12h2" />
  <path d="M2 17h2" />
  <path d="M2 7h2" />
  <path d="M20 12h2" />
  <path d="M20 17h2" />
  <path d="M20 7h2" />
  <path d="M7 20v2" />
  <path d="M7 2v2" />
  <rect x="4" y="4" width="16" height="16" rx="2" />
  <rect x="8" y="8" width="8" height="8" rx="1" />
</svg>
`,down:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-down"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m6 9 6 6 6-6" />
</svg>
`,download:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-download"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 15V3" />
  <path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4" />
  <path d="m7 10 5 5 5-5" />
</svg>
`,edit:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pencil"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z" />
  <path d="m15 5 4 4" />
</svg>
`,film:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-film"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M7 3v18" />
  <path d="M3 7.5h4" />
  <path d="M3 12h18" />
  <path d="M3 16.5h4" />
  <path d="M17 3v18" />
  <path d="M17 7.5h4" />
  <path d="M17 16.5h4" />
</svg>
`,first:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-up-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 3h14" />
  <path d="m18 13-6-6-6 6" />
  <path d="M12 7v14" />
</svg>
`,grip:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-grip-vertical"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="9" cy="12" r="1" />
  <circle cx="9" cy="5" r="1" />
  <circle cx="9" cy="19" r="1" />
  <circle cx="15" cy="12" r="1" />
  <circle cx="15" cy="5" r="1" />
  <circle cx="15" cy="19" r="1" />
</svg>
`,key:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-key-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z" />
  <circle cx="16.5" cy="7.5" r=".5" fill="currentColor" />
</svg>
`,last:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-down-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 17V3" />
  <path d="m6 11 6 6 6-6" />
  <path d="M19 21H5" />
</svg>
`,left:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-left"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m15 18-6-6 6-6" />
</svg>
`,list:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-list-video"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21 5H3" />
  <path d="M10 12H3" />
  <path d="M10 19H3" />
  <path d="M15 12.003a1 1 0 0 1 1.517-.859l4.997 2.997a1 1 0 0 1 0 1.718l-4.997 2.997a1 1 0 0 1-1.517-.86z" />
</svg>
`,monitor:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-monitor"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="20" height="14" x="2" y="3" rx="2" />
  <line x1="8" x2="16" y1="21" y2="21" />
  <line x1="12" x2="12" y1="17" y2="21" />
</svg>
`,moon:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-moon"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20.985 12.486a9 9 0 1 1-9.473-9.472c.405-.022.617.46.402.803a6 6 0 0 0 8.268 8.268c.344-.215.825-.004.803.401" />
</svg>
`,pause:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pause"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect x="14" y="3" width="5" height="18" rx="1" />
  <rect x="5" y="3" width="5" height="18" rx="1" />
</svg>
`,play:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-play"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 5a2 2 0 0 1 3.008-1.728l11.997 6.998a2 2 0 0 1 .003 3.458l-12 7A2 2 0 0 1 5 19z" />
</svg>
`,plus:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sparkles"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.017 2.814a1 1 0 0 1 1.966 0l1.051 5.558a2 2 0 0 0 1.594 1.594l5.558 1.051a1 1 0 0 1 0 1.966l-5.558 1.051a2 2 0 0 0-1.594 1.594l-1.051 5.558a1 1 0 0 1-1.966 0l-1.051-5.558a2 2 0 0 0-1.594-1.594l-5.558-1.051a1 1 0 0 1 0-1.966l5.558-1.051a2 2 0 0 0 1.594-1.594z" />
  <path d="M20 2v4" />
  <path d="M22 4h-4" />
  <circle cx="4" cy="20" r="2" />
</svg>
`,retry:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-rotate-ccw"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M3 12a9 9 0 1 0 9-9 9.75 9.75 0 0 0-6.74 2.74L3 8" />
  <path d="M3 3v5h5" />
</svg>
`,right:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-right"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m9 18 6-6-6-6" />
</svg>
`,search:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-search"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m21 21-4.34-4.34" />
  <circle cx="11" cy="11" r="8" />
</svg>
`,star:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-star"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.525 2.295a.53.53 0 0 1 .95 0l2.31 4.679a2.123 2.123 0 0 0 1.595 1.16l5.166.756a.53.53 0 0 1 .294.904l-3.736 3.638a2.123 2.123 0 0 0-.611 1.878l.882 5.14a.53.53 0 0 1-.771.56l-4.618-2.428a2.122 2.122 0 0 0-1.973 0L6.396 21.01a.53.53 0 0 1-.77-.56l.881-5.139a2.122 2.122 0 0 0-.611-1.879L2.16 9.795a.53.53 0 0 1 .294-.906l5.165-.755a2.122 2.122 0 0 0 1.597-1.16z" />
</svg>
`,sun:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sun"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="12" r="4" />
  <path d="M12 2v2" />
  <path d="M12 20v2" />
  <path d="m4.93 4.93 1.41 1.41" />
  <path d="m17.66 17.66 1.41 1.41" />
  <path d="M2 12h2" />
  <path d="M20 12h2" />
  <path d="m6.34 17.66-1.41 1.41" />
  <path d="m19.07 4.93-1.41 1.41" />
</svg>
`,trash:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-trash-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M10 11v6" />
  <path d="M14 11v6" />
  <path d="M19 6v14a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V6" />
  <path d="M3 6h18" />
  <path d="M8 6V4a2 2 0 0 1 2-2h4a2 2 0 0 1 2 2v2" />
</svg>
`,user:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-user-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="8" r="5" />
  <path d="M20 21a8 8 0 0 0-16 0" />
</svg>
`,x:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M18 6 6 18" />
  <path d="m6 6 12 12" />
</svg>
`},Ft=({name:e})=>f(`span`,{class:`icon`,"aria-hidden":`true`,dangerouslySetInnerHTML:{__html:Pt[e].replace(/<!--.*?-->/s,``)}}),It=({icon:e,name:t,onClick:n,class:r=``,isPressed:i,isDisabled:a})=>f(`button`,{type:`button`,class:`quiet square ${r}`,"aria-label":t,title:t,"aria-pressed":i,disabled:a,onClick:n,children:f(Ft,{name:e})});function Lt({title:e,onClose:t,isFirm:n=!1,children:r}){let i=o(null),s=p();return a(()=>{let e=document.activeElement;return i.current?.showModal(),()=>e instanceof HTMLElement&&e.focus()},[]),f(`dialog`,{ref:i,"aria-labelledby":s,onClose:t,onCancel:e=>n&&e.preventDefault(),onClick:e=>!n&&e.target===e.currentTarget&&e.currentTarget.close(),children:f(`div`,{class:`column`,children:[f(`h2`,{id:s,children:e}),r]})})}var Rt=e=>e instanceof HTMLElement&&e.matches(`input:not([type="range"], [type="checkbox"], [type="radio"]), textarea, select, [contenteditable]`);async function zt(e){let t=J.value.hello?.owner,{owner:n}=await q(`/v1/session`,{method:`POST`,body:{key:e},insist:!1});t!==n&&ht(),K.value=!1}async function Bt(){await q(`/v1/session`,{method:`DELETE`}),ht(),K.value=!0}async function Vt(){let e=new URLSearchParams(location.hash.slice(1)).get(`key`);e&&(history.replaceState(history.state,``,location.pathname+location.search),await zt(e).catch(()=>K.value=!0))}function Ht(){let e=V(``);return f(Lt,{title:U.signIn.title,isFirm:!0,children:[f(`p`,{class:`soft`,children:U.signIn.text}),f(`form`,{class:`column`,onSubmit:async t=>{t.preventDefault(),e.value=``;try{await zt(`${new FormData(t.currentTarget).get(`key`)}`.trim())}catch(t){if(!(t instanceof W))throw t;e.value=t.message}},children:[f(`label`,{class:`field`,children:[U.signIn.key,f(`input`,{name:`key`,type:`password`,autocomplete:`off`,required:!0,"aria-invalid":e.value?!0:void 0}),e.value&&f(`span`,{class:`bad`,role:`alert`,children:e.value})]}),f(`button`,{class:`primary`,children:U.signIn.act})]})]})}var Ut=[`system`,`light`,`dark`],Wt=`framefarm-theme`,Gt=localStorage.getItem(Wt),Z=M(Ut.find(e=>e===Gt)??`system`);I(()=>{localStorage.setItem(Wt,Z.value),document.documentElement.style.colorScheme=Z.value===`system`?`light dark`:Z.value});var Kt=()=>{Z.value=Ut[(Ut.indexOf(Z.value)+1)%Ut.length]},qt={system:`monitor`,light:`sun`,dark:`moon`},Jt=`local`,Q=[`/ui/`,`/ui/queue`,`/ui/library`,`/ui/workers`];function Yt(){let e=V(!1),{route:t}=pe();return a(()=>{let n=n=>{if(n.ctrlKey||n.metaKey||n.altKey||Rt(n.target)||document.querySelector(`dialog[open]`))return;let r=Q[Number(n.key)-1];n.key===`?`?e.value=!0:r&&t(r)};return addEventListener(`keydown`,n),()=>removeEventListener(`keydown`,n)},[]),f(`header`,{class:`top`,children:[f(`a`,{class:`brand`,href:Q[0],children:[f(`img`,{src:`/ui/mark.svg`,alt:``,width:`24`,height:`24`}),f(`span`,{children:U.farm})]}),f(`nav`,{class:`tabs`,"aria-label":U.main,children:[f(Zt,{to:Q[0],icon:`plus`,text:U.nav.create}),f(Zt,{to:Q[1],icon:`list`,text:U.nav.queue,count:bt.value?`${bt.value}`:``}),f(Zt,{to:Q[2],icon:`film`,text:U.nav.library}),f(Zt,{to:Q[3],icon:`cpu`,text:U.nav.workers,count:xt.value})]}),f(`div`,{class:`top-end`,children:[f(Xt,{}),f(It,{icon:Y.value?`sound`:`silent`,name:U.sound,isPressed:Y.value,onClick:Tt}),f(It,{icon:qt[Z.value],name:`${U.theme.title}: ${U.theme[Z.value]}`,onClick:Kt}),f(It,{icon:`keyboard`,name:U.keys.title,class:`only-wide`,onClick:()=>e.value=!0})]}),e.value&&f(Lt,{title:U.keys.title,onClose:()=>e.value=!1,children:[f(`dl`,{class:`keys`,children:U.keys.list.map(([e,t])=>f(`div`,{children:[f(`dt`,{children:f(`kbd`,{children:e})}),f(`dd`,{children:t})]},e))}),f(`form`,{method:`dialog`,children:f(`button`,{children:U.act.close})})]})]})}function Xt(){let e=J.value.hello?.owner;return!e||e===Jt?null:f(`details`,{class:`owner`,children:[f(`summary`,{children:[f(Ft,{name:`user`}),e]}),f(`div`,{class:`card column`,children:[f(`p`,{children:U.signIn.as(e)}),f(`button`,{type:`button`,onClick:()=>void Bt(),children:U.signIn.out})]})]})}function Zt({to:e,icon:t,text:n,count:r=``}){let{path:i}=pe(),a=i===e||e===Q[0]&&i===`/ui`;return f(`a`,{href:e,"aria-current":a?`page`:void 0,children:[f(Ft,{name:t}),n,f(`span`,{class:`count`,"aria-hidden":`true`,children:r})]})}var Qt=S(()=>C(()=>import(`./create-DcXDeed1.js`),__vite__mapDeps([0,1]))),$t=S(()=>C(()=>import(`./queue-CTgJQ8HI.js`),__vite__mapDeps([2,3,1,4]))),en=S(()=>C(()=>import(`./library-Bqf0jkvH.js`),__vite__mapDeps([5,1,3,4]))),tn=S(()=>C(()=>import(`./video-B6Hhq59p.js`),__vite__mapDeps([6,1]))),nn=S(()=>C(()=>import(`./workers-BEOHLKxt.js`),__vite__mapDeps([7,1,3])));function rn(){return f(y,{scope:`/ui/`,children:[f(`a`,{class:`skip`,href:`#main`,children:U.skip}),f(Yt,{}),G.value&&f(`p`,{class:`away`,role:`status`,children:U.away}),f(`main`,{id:`main`,tabIndex:-1,children:f(ge,{children:f(ce,{children:[f(b,{path:`/ui/`,component:Qt}),f(b,{path:`/ui/queue`,component:$t}),f(b,{path:`/ui/library`,component:en}),f(b,{path:`/ui/videos/:id`,component:tn}),f(b,{path:`/ui/workers`,component:nn}),f(b,{default:!0,component:an})]})})}),f(Nt,{}),f(`p`,{class:`unseen`,role:`status`,children:wt.value}),K.value&&f(Ht,{})]})}var an=()=>f(`section`,{class:`empty`,children:[f(`p`,{children:U.notHere}),f(`a`,{class:`button`,href:`/ui/`,children:U.toCreate})]}),on=[`hello`,`reset`,`video`,`progress`,`queue`,`gone`,`worker`,`farm`,`preview`],sn=20,cn=50,ln=[],$=null,un;function dn(){I(()=>void(document.title=St.value)),I(()=>{K.value?pn():document.hidden||fn()}),document.addEventListener(`visibilitychange`,()=>{clearTimeout(un),document.hidden?un=setTimeout(hn,sn*1e3):fn()}),document.hidden&&hn()}function fn(){if($||K.value)return;let e=new URLSearchParams(ln.map(e=>[`preview`,e])),t=new EventSource(`/v1/events${e.size?`?${e}`:``}`),n=!0;$=t;for(let e of on)t.addEventListener(e,t=>{G.value=!1,pt({kind:e,data:JSON.parse(t.data)}),(e===`reset`||e===`hello`&&n)&&gn().catch(()=>void 0),e===`hello`&&(n=!1)});t.onerror=()=>{t===$&&(G.value=!0,t.readyState===EventSource.CLOSED&&mn())}}function pn(){$?.close(),$=null}async function mn(){pn(),await tt(2e3),await gn().catch(()=>void 0),fn()}function hn(){pn(),gn().catch(()=>void 0).finally(()=>{document.hidden&&(un=setTimeout(hn,cn*1e3))})}async function gn(){mt((await Promise.all(te.map(e=>_n(`/v1/videos?limit=100&order=asc&status=${e}`)))).flat(),!0),ft.value=!0}async function _n(e){let t=[];for(let n=``;n!==null;){let r=await q(`${e}${n&&`&after=${n}`}`);t.push(...r.data),n=r.has_more?r.last_id:null}return t}kt(),Vt().then(dn),re(f(rn,{}),document.getElementById(`page`));export{x as S,U as _,ft as a,M as b,_t as c,yt as d,J as f,tt as g,Xe as h,Mt as i,gt as l,q as m,It as n,mt as o,W as p,Ft as r,vt as s,Lt as t,pt as u,Ve as v,pe as x,V as y};